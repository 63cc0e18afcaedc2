//! Parts of pods, typed as far as anyone here looks and kept as JSON beyond that. Source: `core/v1` of Kubernetes 1.34.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Object, Quantity, StringMap};

/// KServe's own copy of the pod template, which it writes in line: `containers` may be absent.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Containers.
    pub containers: Option<Vec<Container>>,
    /// Containers that run one after the other before the others start.
    pub init_containers: Option<Vec<Container>>,
    /// Volumes that containers can mount.
    pub volumes: Option<Vec<Volume>>,
    /// Labels that a node must have.
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub node_selector: Option<StringMap>,
    /// Which nodes and pods are preferred or required beside it.
    pub affinity: Option<Object>,
    /// Taints of nodes that are accepted.
    pub tolerations: Option<Vec<Object>>,
    /// Secrets with credentials of image registries.
    pub image_pull_secrets: Option<Vec<LocalReference>>,
    /// Service account that the pod runs as.
    pub service_account_name: Option<String>,
    /// Old spelling of `serviceAccountName`.
    pub service_account: Option<String>,
    /// Whether the account's token is mounted.
    pub automount_service_account_token: Option<bool>,
    /// Node that is asked for by name.
    pub node_name: Option<String>,
    /// Scheduler that places the pod.
    pub scheduler_name: Option<String>,
    /// Priority class.
    pub priority_class_name: Option<String>,
    /// Priority; set by the cluster.
    pub priority: Option<i32>,
    /// Container runtime to use.
    pub runtime_class_name: Option<String>,
    /// Amounts for the pod as a whole.
    pub resources: Option<ResourceRequirements>,
    /// Devices that containers can use.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub resource_claims: Option<Vec<ResourceClaim>>,
    /// Security settings of all containers.
    pub security_context: Option<Object>,
    /// Whether the node's network is used.
    pub host_network: Option<bool>,
    /// Whether the node's processes are seen.
    #[serde(rename = "hostPID")]
    pub host_pid: Option<bool>,
    /// Whether the node's inter-process communication is used.
    #[serde(rename = "hostIPC")]
    pub host_ipc: Option<bool>,
    /// Whether the pod shares the node's user ids.
    pub host_users: Option<bool>,
    /// Whether containers see each other's processes.
    pub share_process_namespace: Option<bool>,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: Option<String>,
    /// Seconds from the order to stop until the pod is killed.
    pub termination_grace_period_seconds: Option<i64>,
    /// Seconds that the pod may run.
    pub active_deadline_seconds: Option<i64>,
    /// How names are resolved.
    pub dns_policy: Option<String>,
    /// Name servers and options.
    pub dns_config: Option<Object>,
    /// Lines for the pod's hosts file.
    pub host_aliases: Option<Vec<Object>>,
    /// Host name.
    pub hostname: Option<String>,
    /// Host name that replaces every other.
    pub hostname_override: Option<String>,
    /// Subdomain of the host name.
    pub subdomain: Option<String>,
    /// Whether the host name has its domain.
    #[serde(rename = "setHostnameAsFQDN")]
    pub set_hostname_as_fqdn: Option<bool>,
    /// Whether services of the namespace appear as environment variables.
    pub enable_service_links: Option<bool>,
    /// Conditions that readiness waits for.
    pub readiness_gates: Option<Vec<Object>>,
    /// Whether pods of lower priority are evicted for it.
    pub preemption_policy: Option<String>,
    /// Amounts that the container runtime takes.
    pub overhead: Option<Amounts>,
    /// How pods are spread over the cluster.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["topologyKey", "whenUnsatisfiable"]))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Operating system of the containers.
    pub os: Option<Object>,
    /// What must be removed before the pod is scheduled.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub scheduling_gates: Option<Vec<SchedulingGate>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl PodSpec {
    /// Containers; none if absent.
    pub fn containers(&self) -> &[Container] {
        self.containers.as_deref().unwrap_or_default()
    }

    /// Init containers; none if absent.
    pub fn init_containers(&self) -> &[Container] {
        self.init_containers.as_deref().unwrap_or_default()
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        container(self.containers(), name)
    }
}

/// The container of that name.
pub fn container<'a>(containers: &'a [Container], name: &str) -> Option<&'a Container> {
    containers
        .iter()
        .find(|container| container.name.as_deref() == Some(name))
}

/// A container. Whether `name` is required is said where it is used: in a predictor it is not.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Name, unique in the pod.
    pub name: Option<String>,
    /// Image.
    pub image: Option<String>,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: Option<String>,
    /// Replaces the image's entry point.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub command: Option<Vec<String>>,
    /// Arguments of the entry point.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Option<Vec<String>>,
    /// Folder that the process starts in.
    pub working_dir: Option<String>,
    /// Environment variables.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Option<Vec<EnvVar>>,
    /// Config maps and secrets whose keys become environment variables.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub env_from: Option<Vec<Object>>,
    /// Ports that the container listens on.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["containerPort", "protocol"]))]
    pub ports: Option<Vec<ContainerPort>>,
    /// Amounts that the container asks for and may use.
    pub resources: Option<ResourceRequirements>,
    /// What happens when an amount changes while the container runs.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub resize_policy: Option<Vec<Object>>,
    /// Volumes and where they appear.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"]))]
    pub volume_mounts: Option<Vec<VolumeMount>>,
    /// Block devices and where they appear.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["devicePath"]))]
    pub volume_devices: Option<Vec<VolumeDevice>>,
    /// Restarted when it fails.
    pub liveness_probe: Option<Object>,
    /// Gets requests while it succeeds.
    pub readiness_probe: Option<Object>,
    /// Holds back the other probes until it succeeds.
    pub startup_probe: Option<Object>,
    /// Hooks after the start and before the stop.
    pub lifecycle: Option<Object>,
    /// Security settings.
    pub security_context: Option<Object>,
    /// When the container alone is restarted.
    pub restart_policy: Option<String>,
    /// When it is restarted, by exit code.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub restart_policy_rules: Option<Vec<Object>>,
    /// File with the last words of the process.
    pub termination_message_path: Option<String>,
    /// `File` or `FallbackToLogsOnError`.
    pub termination_message_policy: Option<String>,
    /// Whether standard input is open.
    pub stdin: Option<bool>,
    /// Whether standard input closes after the first reader.
    pub stdin_once: Option<bool>,
    /// Whether a terminal is attached.
    pub tty: Option<bool>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl Container {
    /// Environment; none if absent.
    pub fn env(&self) -> &[EnvVar] {
        self.env.as_deref().unwrap_or_default()
    }

    /// The first variable of that name.
    pub fn env_var(&self, name: &str) -> Option<&EnvVar> {
        self.env()
            .iter()
            .find(|variable| variable.name.as_deref() == Some(name))
    }

    /// Ports; none if absent.
    pub fn ports(&self) -> &[ContainerPort] {
        self.ports.as_deref().unwrap_or_default()
    }

    /// Mounts; none if absent.
    pub fn volume_mounts(&self) -> &[VolumeMount] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    /// Upper limit of one resource.
    pub fn limit(&self, resource: &str) -> Option<&Quantity> {
        self.resources.as_ref()?.limits.as_ref()?.get(resource)
    }

    /// Amount of one resource that is asked for.
    pub fn request(&self, resource: &str) -> Option<&Quantity> {
        self.resources.as_ref()?.requests.as_ref()?.get(resource)
    }
}

/// An environment variable.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name.
    #[schemars(required)]
    pub name: Option<String>,
    /// Value.
    pub value: Option<String>,
    /// Where the value comes from instead.
    pub value_from: Option<Object>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A port that a container listens on.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Name, by which services find it.
    pub name: Option<String>,
    /// Number.
    #[schemars(required)]
    pub container_port: Option<i32>,
    /// `TCP` unless said otherwise.
    #[schemars(extend("default" = "TCP"))]
    pub protocol: Option<String>,
    /// Port of the node that leads here.
    pub host_port: Option<i32>,
    /// Address of the node that it binds to.
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where a volume appears in a container.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume's name.
    #[schemars(required)]
    pub name: Option<String>,
    /// Path in the container.
    #[schemars(required)]
    pub mount_path: Option<String>,
    /// Path in the volume.
    pub sub_path: Option<String>,
    /// The same, with variables.
    pub sub_path_expr: Option<String>,
    /// Whether it cannot be written.
    pub read_only: Option<bool>,
    /// Whether mounts below it cannot be written either.
    pub recursive_read_only: Option<String>,
    /// Whether mounts made later are seen.
    pub mount_propagation: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where a block device appears in a container.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDevice {
    /// The volume claim's name in the pod.
    #[schemars(required)]
    pub name: Option<String>,
    /// Path in the container.
    #[schemars(required)]
    pub device_path: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A volume; its source is kept as it is.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    /// Name, unique in the pod.
    #[schemars(required)]
    pub name: Option<String>,
    /// The source, such as `emptyDir` or `secret`.
    #[serde(flatten)]
    pub source: Object,
}

/// A device that containers can use.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceClaim {
    /// Name, by which containers refer to it.
    #[schemars(required)]
    pub name: Option<String>,
    /// ResourceClaim of the same namespace.
    pub resource_claim_name: Option<String>,
    /// ResourceClaimTemplate that a claim is made from.
    pub resource_claim_template_name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Use of one of the pod's `resourceClaims`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimUse {
    /// Name of the claim.
    #[schemars(required)]
    pub name: Option<String>,
    /// Part of the claim.
    pub request: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What must be removed before a pod is scheduled.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulingGate {
    /// Name.
    #[schemars(required)]
    pub name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// How pods are spread over the cluster.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologySpreadConstraint {
    /// Label of nodes whose value is the place.
    #[schemars(required)]
    pub topology_key: Option<String>,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    #[schemars(required)]
    pub when_unsatisfiable: Option<String>,
    /// How far places may differ in pods.
    #[schemars(required)]
    pub max_skew: Option<i32>,
    /// Fewest places.
    pub min_domains: Option<i32>,
    /// Pods that are counted.
    pub label_selector: Option<Object>,
    /// Labels whose values pods must share to be counted.
    pub match_label_keys: Option<Vec<String>>,
    /// Whether nodes that the affinity excludes are counted.
    pub node_affinity_policy: Option<String>,
    /// Whether nodes with taints are counted.
    pub node_taints_policy: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The name of an object of the same namespace.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LocalReference {
    /// Name.
    pub name: Option<String>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Amounts by the name of a resource.
pub type Amounts = std::collections::BTreeMap<String, Quantity>;

/// Amounts that are asked for, and upper limits.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRequirements {
    /// Upper limits by the name of a resource.
    pub limits: Option<Amounts>,
    /// What is asked for by the name of a resource.
    pub requests: Option<Amounts>,
    /// Devices from the pod's `resourceClaims`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub claims: Option<Vec<ClaimUse>>,
    /// Fields that are not named here.
    #[serde(flatten)]
    pub rest: Object,
}
