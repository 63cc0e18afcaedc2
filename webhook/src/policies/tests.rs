use super::*;
use crate::review::Mode;

fn options(mode: Mode) -> Options {
    Options {
        mode,
        ..Options::default()
    }
}

fn of<'a>(manifests: &'a [Value], kind: &str, rule: &Rule) -> Option<&'a Value> {
    manifests.iter().find(|manifest| {
        manifest["kind"] == kind && manifest["metadata"]["labels"]["stowage.dev/rule"] == rule.id
    })
}

#[test]
fn every_stateless_rule_has_a_policy_and_a_binding_that_acts_as_the_mode_says() {
    for mode in [Mode::Compat, Mode::Strict] {
        let manifests = manifests(&options(mode));
        for rule in RULES {
            let policy = of(&manifests, "ValidatingAdmissionPolicy", rule);
            let binding = of(&manifests, "ValidatingAdmissionPolicyBinding", rule);
            assert_eq!(policy.is_some(), rule.stateless, "{}", rule.id);
            assert_eq!(binding.is_some(), rule.stateless, "{}", rule.id);
            let (Some(policy), Some(binding)) = (policy, binding) else {
                continue;
            };
            assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
            let action = &binding["spec"]["validationActions"][0];
            let denies = rule.severity(mode) == Severity::Deny;
            assert_eq!(action == "Deny", denies, "{}", rule.id);
            assert_eq!(policy["spec"]["failurePolicy"] == "Fail", denies, "{}", rule.id);
            let scope = policy["spec"]["matchConstraints"]["resourceRules"]
                .as_array()
                .unwrap();
            assert_eq!(scope.len(), rule.scope.len());
        }
    }
}

#[test]
fn forbidden_changes_are_not_ratcheted() {
    let manifests = manifests(&options(Mode::Compat));
    for rule in RULES.iter().filter(|rule| rule.stateless) {
        let policy = of(&manifests, "ValidatingAdmissionPolicy", rule).unwrap();
        let expression = policy["spec"]["validations"][0]["expression"].as_str();
        assert_eq!(expression == rule.cel, rule.change, "{}", rule.id);
    }
}

#[test]
fn what_compat_mode_denies_is_not_suppressed() {
    for rule in RULES.iter().filter(|rule| rule.stateless) {
        let conditions = match_conditions(rule, &options(Mode::Strict));
        let suppressible = conditions
            .iter()
            .any(|condition| condition["name"] == "not-suppressed");
        assert_eq!(suppressible, rule.compat == Severity::Warn, "{}", rule.id);
    }
}

#[test]
fn no_variable_is_missing() {
    for manifest in manifests(&options(Mode::Strict)) {
        let Some(variables) = manifest["spec"]["variables"].as_array() else {
            continue;
        };
        let mut known = Vec::new();
        let expressions = variables
            .iter()
            .map(|variable| (&variable["expression"], Some(&variable["name"])));
        let validation = &manifest["spec"]["validations"][0]["expression"];
        for (expression, name) in expressions.chain([(validation, None)]) {
            for part in expression.as_str().unwrap().split("variables.").skip(1) {
                let used: String = part
                    .chars()
                    .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                    .collect();
                assert!(known.contains(&used), "{used} in {expression}");
            }
            known.extend(name.and_then(Value::as_str).map(str::to_owned));
        }
    }
}
