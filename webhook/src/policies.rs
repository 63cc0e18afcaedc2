//! `stowage-webhook policies`: the stateless rules as ValidatingAdmissionPolicies, which the API server evaluates itself.
//!
//! One policy and one binding for each rule, so that an admin can leave one out. What a policy says is what the server
//! says, with two differences: its message is the rule's and not about the value found, and an update passes whenever
//! the stored object breaks the same rule (the server asks whether it is the same offence).

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    args::RuleArgs,
    finding::Severity,
    review::Options,
    rules::{RULES, Rule, cel, suppress},
};

mod expression;

/// Flags of `policies`.
#[derive(Clone, Debug, Args)]
pub struct PoliciesArgs {
    /// What verdicts depend on.
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// Prints the manifests.
pub fn main(args: &PoliciesArgs) -> anyhow::Result<()> {
    let mut text = String::from("# Made by `stowage-webhook policies`; needs Kubernetes 1.30 or newer.\n");
    for manifest in manifests(&args.rules.options()) {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&manifest).context("write YAML")?);
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err).context("print policies"),
        _ => Ok(()),
    }
}

/// A policy and its binding for every stateless rule.
pub fn manifests(options: &Options) -> Vec<Value> {
    let stateless = RULES.iter().filter_map(|rule| Some((*rule, rule.cel?)));
    stateless
        .flat_map(|(rule, cel)| [policy(rule, cel, options), binding(rule, options)])
        .collect()
}

/// Name of a rule's policy and binding.
fn name(rule: &Rule) -> String {
    format!("{}.rules.stowage.dev", rule.id.to_ascii_lowercase())
}

fn metadata(rule: &Rule) -> Value {
    json!({
        "name": name(rule),
        "labels": {"app.kubernetes.io/part-of": "stowage", "stowage.dev/rule": rule.id},
    })
}

fn policy(rule: &Rule, cel: &str, options: &Options) -> Value {
    let denies = rule.severity(options.mode) == Severity::Deny;
    let expression = if options.ratchet && !rule.change {
        expression::ratcheted(cel)
    } else {
        cel.to_owned()
    };
    let variables: Vec<Value> = expression::variables(&expression)
        .into_iter()
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect();
    let mut spec = json!({
        // A rule that only warns must not stand in anybody's way.
        "failurePolicy": if denies { "Fail" } else { "Ignore" },
        "matchConstraints": {"resourceRules": resource_rules(rule)},
        "matchConditions": match_conditions(rule, options),
        "validations": [{
            "expression": expression,
            "message": format!("{} {} [{}]", rule.doc, rule.fix, rule.id),
            "reason": "Invalid",
        }],
    });
    if !variables.is_empty() {
        spec["variables"] = Value::Array(variables);
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata(rule),
        "spec": spec,
    })
}

fn resource_rules(rule: &Rule) -> Vec<Value> {
    let rule_of = |kind: &crate::Kind| {
        let (group, version) = kind.api_version().split_once('/').unwrap_or_default();
        json!({
            "apiGroups": [group],
            "apiVersions": [version],
            "resources": [kind.plural()],
            "operations": ["CREATE", "UPDATE"],
        })
    };
    rule.scope.iter().map(rule_of).collect()
}

fn match_conditions(rule: &Rule, options: &Options) -> Vec<Value> {
    let mut conditions = vec![json!({"name": "not-being-deleted", "expression": cel::MATCH_CONDITION})];
    // What compat mode denies cannot be suppressed.
    if options.suppressions && rule.compat == Severity::Warn {
        let key = format!("{}{}", suppress::PREFIX, rule.id);
        let reason = format!("object.metadata.?annotations[?'{key}'].orValue('').trim() == ''");
        conditions.push(json!({"name": "not-suppressed", "expression": reason}));
    }
    conditions
}

fn binding(rule: &Rule, options: &Options) -> Value {
    let action = match rule.severity(options.mode) {
        Severity::Deny => "Deny",
        Severity::Warn => "Warn",
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata(rule),
        "spec": {"policyName": name(rule), "validationActions": [action]},
    })
}

#[cfg(test)]
mod tests;
