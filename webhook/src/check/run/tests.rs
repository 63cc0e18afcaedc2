use std::fs;

use super::*;

fn plan(folder: PathBuf, kept_bytes: usize) -> Plan {
    Plan {
        files: vec![folder],
        context: Vec::new(),
        old: Vec::new(),
        namespace: "default".to_owned(),
        options: Options::default(),
        keep_defaulted: true,
        kept_bytes,
    }
}

#[test]
fn what_is_not_kept_is_read_again_with_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let text = format!(
            "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: s{number}}}\nspec:\n  predictor: \
             {{minReplicas: {number}, maxReplicas: 10, model: {{modelFormat: {{name: x}}}}}}\n"
        );
        fs::write(folder.path().join(format!("{number:02}.yaml")), text).unwrap();
    }
    let [kept, again, some] = [usize::MAX, 0, 1000].map(|bytes| {
        let report = run(&plan(folder.path().to_owned(), bytes));
        format!("{:?}", report.files)
    });
    assert_eq!(kept.matches("IS-V12").count(), 9);
    assert_eq!((&kept, &kept), (&again, &some));
}
