//! A runtime of a mesh shares its pod with the router, the adapter and the puller. What would collide with them is
//! found by ModelMesh Serving's controller, and told its log only.

use api::names::ports;

use super::{KINDS, RuntimeObject};
use crate::{
    node::Node,
    rules::{LATER, Rule, sink::Findings},
    suggest,
};

pub(crate) static ADAPTER: Rule = Rule {
    id: "MM-C01",
    title: "built-in adapter",
    scope: KINDS,
    stateless: true,
    doc: "`builtInAdapter.serverType` is `mlserver`, `triton`, `ovms` or `torchserve`, and a container has that name.",
    why: "The adapter drives that container; the controller makes no pods without it.",
    fix: "Name the container after the server type.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !variables.spec.?multiModel.orValue(false) || \
         !has(variables.spec.builtInAdapter) || \
         (variables.spec.builtInAdapter.?serverType.orValue('') in ['mlserver', 'triton', 'ovms', 'torchserve'] && \
         variables.spec.?containers.orValue([])\
         .exists(k, k.?name.orValue('') == variables.spec.builtInAdapter.serverType))",
    ),
    ..LATER
};

pub(crate) static RESERVED_CONTAINER: Rule = Rule {
    id: "MM-C02",
    title: "reserved container names",
    scope: KINDS,
    stateless: true,
    doc: "No container of a mesh's runtime is called `mm`, `rest-proxy`, `puller` or `mm-…`.",
    why: "These are the containers that the controller adds.",
    fix: "Rename the container.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !variables.spec.?multiModel.orValue(false) || \
         variables.spec.?containers.orValue([]).all(k, !k.?name.orValue('').matches('^(mm|rest-proxy|puller|mm-.*)$'))",
    ),
    ..LATER
};

pub(crate) static FORBIDDEN_FIELD: Rule = Rule {
    id: "MM-C03",
    title: "probes and hooks",
    scope: KINDS,
    stateless: true,
    doc: "Containers of a mesh's runtime have no `readinessProbe` and no `lifecycle`.",
    why: "The controller sets both, so that models move away before a pod stops.",
    fix: "Remove them; liveness and startup probes are allowed.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !variables.spec.?multiModel.orValue(false) || \
         variables.spec.?containers.orValue([]).all(k, !has(k.readinessProbe) && !has(k.lifecycle))",
    ),
    ..LATER
};

pub(crate) static RESERVED_VOLUME: Rule = Rule {
    id: "MM-C04",
    title: "reserved volumes",
    scope: KINDS,
    stateless: true,
    doc: "No volume or mount of a mesh's runtime uses `storage-config`, `etcd-config`, `tc-config`, `domain-socket` or \
          `mm-…`; no volume is called `models-dir`.",
    why: "These are the volumes that the controller adds, some of them with credentials.",
    fix: "Rename the volume.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !variables.spec.?multiModel.orValue(false) || \
         (variables.spec.?containers.orValue([]).all(k, k.?volumeMounts.orValue([]).all(m, \
         !m.?name.orValue('').matches('^(storage-config|etcd-config|tc-config|domain-socket|mm-.*)$'))) && \
         variables.spec.?volumes.orValue([]).all(v, \
         !v.?name.orValue('').matches('^(storage-config|etcd-config|tc-config|domain-socket|models-dir|mm-.*)$')))",
    ),
    ..LATER
};

pub(crate) static RESERVED_PORT: Rule = Rule {
    id: "MM-C05",
    title: "reserved ports",
    scope: KINDS,
    stateless: true,
    doc: "Ports of a mesh's runtime are not called `grpc`, `http`, `prometheus` or `mm-…`, and are not 8080, 8085, \
          8089, 8090 or 11881 to 11899.",
    why: "The router and the adapter in the same pod listen there.",
    fix: "Use another port.",
    cel: Some(
        "variables.spec.?disabled.orValue(false) || !variables.spec.?multiModel.orValue(false) || \
         variables.spec.?containers.orValue([]).all(k, k.?ports.orValue([]).all(p, \
         !p.?name.orValue('').matches('^(grpc|http|prometheus|mm-.*)$') && \
         !(p.?containerPort.orValue(0) in [8080, 8085, 8089, 8090]) && \
         !(p.?containerPort.orValue(0) >= 11881 && p.?containerPort.orValue(0) <= 11899)))",
    ),
    ..LATER
};

pub(crate) static ENDPOINT: Rule = Rule {
    id: "MM-C06",
    title: "endpoints",
    scope: KINDS,
    doc: "A mesh's runtime has `grpcEndpoint` or `builtInAdapter`; endpoints look like `port:8085` or `unix:/path`, an \
          adapter's `grpcEndpoint` is a port, and two sockets lie in one folder.",
    why: "The router reaches the runtime there. Upstream's controller crashes on a runtime without `grpcEndpoint`.",
    fix: "Set `grpcEndpoint: port:8085`.",
    ..LATER
};

const SERVER_TYPES: [&str; 4] = ["mlserver", "triton", "ovms", "torchserve"];
const VOLUMES: [&str; 4] = ["storage-config", "etcd-config", "tc-config", "domain-socket"];
const MODELS_VOLUME: &str = "models-dir";
const RESERVED_RANGE: std::ops::RangeInclusive<i64> = 11881..=11899;

pub(super) fn check(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let containers = runtime.spec.at("containers");
    adapter(runtime, &containers, out);
    for container in containers.items() {
        check_container(&container, out);
    }
    for volume in runtime.spec.at("volumes").items() {
        let name = volume.at("name");
        if name.text() == MODELS_VOLUME || reserved(name.text(), &VOLUMES) {
            out.push(
                &RESERVED_VOLUME,
                &name,
                format!("the volume `{}` is the controller's own", name.text()),
            );
        }
    }
    endpoints(runtime, out);
}

fn reserved(name: &str, names: &[&str]) -> bool {
    names.contains(&name) || name.starts_with("mm-")
}

fn adapter(runtime: &RuntimeObject<'_>, containers: &Node<'_>, out: &mut Findings<'_>) {
    let adapter = runtime.spec.at("builtInAdapter");
    if !adapter.exists() {
        return;
    }
    let kind = adapter.at("serverType");
    if !SERVER_TYPES.contains(&kind.text()) {
        out.push(&ADAPTER, &kind, format!("`{}` is no type of server", kind.text()))
            .hint(suggest::hint(kind.text(), SERVER_TYPES));
    } else if !containers
        .items()
        .any(|container| container.at("name").str() == kind.str())
    {
        let message = format!(
            "no container is called `{}`, as the server type of the adapter",
            kind.text()
        );
        out.push(&ADAPTER, &kind, message);
    }
}

fn check_container(container: &Node<'_>, out: &mut Findings<'_>) {
    let name = container.at("name");
    if reserved(name.text(), &["mm", "rest-proxy", "puller"]) {
        out.push(
            &RESERVED_CONTAINER,
            &name,
            format!("the container name `{}` is reserved", name.text()),
        );
    }
    for field in ["readinessProbe", "lifecycle"] {
        let node = container.at(field);
        if node.exists() {
            out.push(
                &FORBIDDEN_FIELD,
                &node,
                format!("`{field}` is set by the controller"),
            );
        }
    }
    for mount in container.at("volumeMounts").items() {
        let name = mount.at("name");
        if reserved(name.text(), &VOLUMES) {
            out.push(
                &RESERVED_VOLUME,
                &name,
                format!("the volume `{}` is the controller's own", name.text()),
            );
        }
    }
    for entry in container.at("ports").items() {
        let (name, number) = (entry.at("name"), entry.at("containerPort"));
        if reserved(name.text(), &["grpc", "http", "prometheus"]) {
            out.push(
                &RESERVED_PORT,
                &name,
                format!("the port name `{}` is reserved", name.text()),
            );
        }
        let taken = [8080, ports::RUNTIME, ports::PROBE, ports::PRESTOP].map(i64::from);
        if let Some(value) = number
            .int()
            .filter(|value| taken.contains(value) || RESERVED_RANGE.contains(value))
        {
            out.push(
                &RESERVED_PORT,
                &number,
                format!("port {value} is used by the router or the adapter"),
            );
        }
    }
}

/// Where a runtime listens.
enum Endpoint<'a> {
    Port,
    /// The folder of the socket.
    Unix(&'a str),
}

fn endpoints(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let adapter = runtime.spec.at("builtInAdapter").exists();
    let management = runtime.spec.at("grpcEndpoint");
    if !management.exists() && !adapter {
        out.push(
            &ENDPOINT,
            &management,
            "a runtime of a mesh needs a `grpcEndpoint`",
        )
        .advise("for example `port:8085`");
    }
    let mut folders = Vec::new();
    for field in ["grpcEndpoint", "grpcDataEndpoint", "httpDataEndpoint"] {
        let node = runtime.spec.at(field);
        let Some(text) = node.str() else { continue };
        match parse_endpoint(text) {
            None => {
                out.push(&ENDPOINT, &node, format!("`{text}` is no endpoint"))
                    .advise("write `port:8085` or `unix:/path/to/socket`");
            }
            Some(Endpoint::Unix(_)) if adapter && field == "grpcEndpoint" => {
                let message = format!("with `builtInAdapter`, `grpcEndpoint` is a port; found `{text}`");
                out.push(&ENDPOINT, &node, message);
            }
            Some(Endpoint::Unix(folder)) if field != "httpDataEndpoint" => folders.push((node, folder)),
            Some(_) => {}
        }
    }
    if let [(_, first), (node, second)] = folders.as_slice()
        && first != second
    {
        let message = format!("both sockets lie in one folder; found `{first}` and `{second}`");
        out.push(&ENDPOINT, node, message);
    }
}

fn parse_endpoint(text: &str) -> Option<Endpoint<'_>> {
    if let Some(number) = text.strip_prefix("port:") {
        return number
            .parse::<u16>()
            .ok()
            .filter(|number| *number > 0)
            .map(|_| Endpoint::Port);
    }
    let path = text.strip_prefix("unix:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let (folder, file) = path.rsplit_once('/')?;
    (path.starts_with('/') && !file.is_empty()).then_some(Endpoint::Unix(folder))
}
