//! Compares `stowage-webhook check` with kubeconform over the same manifests and schemas; `scripts/check-bench.sh` builds
//! both and runs it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Parser;
use e2e::process::root;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Checks manifests with both tools, in turns, and prints medians
#[derive(Parser)]
struct Args {
    /// stowage-webhook
    #[arg(long)]
    webhook: PathBuf,

    /// kubeconform
    #[arg(long)]
    kubeconform: PathBuf,

    /// Interleaved runs of each
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,

    /// How many manifests, each a file
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    manifests: u32,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = TempDir::new().context("make a folder")?;
    let (manifests, schemas) = (folder.path().join("manifests"), folder.path().join("schemas"));
    let bytes = write_manifests(&manifests, args.manifests)?;
    write_schemas(&schemas)?;

    let location = schemas.join("{{.ResourceKind}}_{{.ResourceAPIVersion}}.json");
    let threads = std::thread::available_parallelism()?.get().to_string();
    let tools = [
        Tool::new(
            "stowage-webhook check",
            &args.webhook,
            &["check".as_ref(), manifests.as_os_str()],
        ),
        Tool::new(
            "stowage-webhook check --mode strict -o json",
            &args.webhook,
            &[
                "check".as_ref(),
                "--mode".as_ref(),
                "strict".as_ref(),
                "-o".as_ref(),
                "json".as_ref(),
                manifests.as_os_str(),
            ],
        ),
        Tool::new(
            "kubeconform",
            &args.kubeconform,
            &[
                "-summary".as_ref(),
                "-n".as_ref(),
                threads.as_ref(),
                "-schema-location".as_ref(),
                location.as_os_str(),
                manifests.as_os_str(),
            ],
        ),
    ];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); tools.len()];
    for run in 0..=args.runs {
        for (tool, times) in tools.iter().zip(&mut times) {
            let time = tool.run(args.manifests)?;
            // The first fills the file cache.
            if run > 0 {
                times.push(time);
            }
        }
    }

    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} manifests, {} bytes each on average, {threads} threads, median of {} runs\n",
        args.manifests,
        bytes / u64::from(args.manifests),
        args.runs
    )?;
    writeln!(
        out,
        "| tool | manifests/s | seconds | beside kubeconform |\n|---|---|---|---|"
    )?;
    let rates: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            f64::from(args.manifests) / times[times.len() / 2].as_secs_f64()
        })
        .collect();
    let base = rates.last().copied().unwrap_or(1.0);
    for (tool, rate) in tools.iter().zip(&rates) {
        let seconds = f64::from(args.manifests) / rate;
        writeln!(
            out,
            "| {} | {rate:.0} | {seconds:.2} | {:.2}x |",
            tool.name,
            rate / base
        )?;
    }
    Ok(())
}

struct Tool {
    name: &'static str,
    command: PathBuf,
    args: Vec<std::ffi::OsString>,
}

impl Tool {
    fn new(name: &'static str, command: &Path, args: &[&std::ffi::OsStr]) -> Self {
        Self {
            name,
            command: command.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        }
    }

    /// Runs to the end; fails when it did not look at every manifest.
    fn run(&self, count: u32) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let output = Command::new(&self.command)
            .args(&self.args)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run {}", self.name))?;
        let time = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{}: {}{said}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        let looked = said.contains(&format!("{count} resources found"))
            || said.contains(&format!("{count} objects checked"))
            || said.matches("\"allowed\": true").count() == count as usize;
        ensure!(looked, "{} did not look at {count} manifests", self.name);
        Ok(time)
    }
}

/// Writes manifests as people have them; gives their bytes.
fn write_manifests(folder: &Path, count: u32) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for number in 0..count {
        let inside = folder.join(format!("team-{}", number % 100));
        fs::create_dir_all(&inside)?;
        let text = manifest(number);
        bytes += text.len() as u64;
        fs::write(inside.join(format!("service-{number}.yaml")), text)?;
    }
    Ok(bytes)
}

fn manifest(number: u32) -> String {
    let team = number % 100;
    let predictor = match number % 4 {
        0 => format!(
            "    model:\n      modelFormat:\n        name: sklearn\n      storageUri: s3://models/{number}\n"
        ),
        1 => format!(
            "    minReplicas: 1\n    maxReplicas: 4\n    model:\n      modelFormat:\n        name: xgboost\n      \
             protocolVersion: v2\n      storageUri: gs://bucket/team-{team}/{number}\n      resources:\n        requests:\n          \
             cpu: 500m\n          memory: 1Gi\n        limits:\n          cpu: \"2\"\n          memory: 4Gi\n      env:\n      - \
             name: LOG_LEVEL\n        value: info\n      - name: WORKERS\n        value: \"2\"\n"
        ),
        2 => format!(
            "    serviceAccountName: team-{team}\n    nodeSelector:\n      pool: gpu\n    tolerations:\n    - key: \
             nvidia.com/gpu\n      operator: Exists\n      effect: NoSchedule\n    model:\n      modelFormat:\n        name: \
             onnx\n      runtime: triton\n      storage:\n        key: team-{team}\n        path: onnx/{number}\n      \
             resources:\n        limits:\n          nvidia.com/gpu: 1\n"
        ),
        _ => format!(
            "    containers:\n    - name: kserve-container\n      image: registry.example.com/team-{team}/model:{number}\n      \
             args: [\"--model\", \"m{number}\"]\n      ports:\n      - containerPort: 8080\n        protocol: TCP\n      \
             readinessProbe:\n        httpGet:\n          path: /ready\n          port: 8080\n      resources:\n        \
             requests: {{cpu: 100m, memory: 256Mi}}\n        limits: {{cpu: \"1\", memory: 1Gi}}\n"
        ),
    };
    format!(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: service-{number}\n  namespace: \
         team-{team}\n  labels:\n    app.kubernetes.io/name: service-{number}\n    app.kubernetes.io/part-of: team-{team}\n  \
         annotations:\n    serving.kserve.io/deploymentMode: Standard\nspec:\n  predictor:\n{predictor}"
    )
}

/// Writes the schemas of our custom resource definitions as kubeconform finds them.
fn write_schemas(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let definitions = root().join("manifests/crds");
    for entry in fs::read_dir(&definitions).with_context(|| definitions.display().to_string())? {
        let text = fs::read_to_string(entry?.path())?;
        let definition: Value = serde_saphyr::from_str(&text).context("read a definition")?;
        let kind = definition["spec"]["names"]["kind"]
            .as_str()
            .unwrap_or_default()
            .to_lowercase();
        for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
            let name = version["name"].as_str().unwrap_or_default();
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            translate(&mut schema);
            fs::write(folder.join(format!("{kind}_{name}.json")), schema.to_string())?;
        }
    }
    Ok(())
}

/// What `OpenAPI` has and JSON schema has not, as kubeconform's own converter translates it.
fn translate(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.remove("x-kubernetes-int-or-string").is_some() {
                members.remove("anyOf");
                members.remove("type");
                members.insert(
                    "oneOf".to_owned(),
                    json!([{"type": "string"}, {"type": "integer"}]),
                );
            }
            members.values_mut().for_each(translate);
        }
        Value::Array(elements) => elements.iter_mut().for_each(translate),
        _ => {}
    }
}
