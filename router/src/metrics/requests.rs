//! Metrics of requests: by method and code, and by model where that is switched on.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder},
    metrics::family::Family,
    registry::Registry,
};
use tonic::Code;

use super::{
    MetricsOptions,
    histogram::{Histogram, MESSAGE_SIZES, Scale, TIMES},
    micros,
};

use crate::map::{Hasher, Map};

/// Methods that have a label of their own. Names are admitted only when a runtime knows them; more than this many are a
/// mistake, and every one costs up to seventeen series (one per code) in four metrics.
pub(super) const MAX_METHODS: usize = 64;
/// vmodels that have a label of their own per model; a model rarely has more than one.
const MAX_VMODELS: usize = 8;
/// Label of everything beyond a bound.
pub(super) const OTHER: &str = "_other";
/// gRPC codes, in the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A model and the vmodel it was asked for by.
type ModelNames = (Arc<str>, Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    method: Arc<str>,
    code: &'static str,
    model: Option<ModelNames>,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("method", &*self.method).encode(encoder.encode_label())?;
        ("code", self.code).encode(encoder.encode_label())?;
        if let Some((model, vmodel)) = &self.model {
            ("modelId", &**model).encode(encoder.encode_label())?;
            ("vModelId", &**vmodel).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
struct Make(&'static Scale);

impl prometheus_client::metrics::family::MetricConstructor<Histogram> for Make {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0)
    }
}

type Series = Family<Labels, Histogram, Make>;

#[derive(Debug)]
struct Families {
    api: Series,
    invoke: Series,
    request: Series,
    response: Series,
}

#[derive(Debug)]
struct Children {
    api: Histogram,
    invoke: Histogram,
    request: Histogram,
    response: Histogram,
}

/// Where requests of one method (and one model) are counted. Hold it for the time of a request; recording is a few
/// atomic additions.
#[derive(Debug)]
pub struct MethodMetrics {
    index: usize,
    method: Arc<str>,
    model: Option<ModelNames>,
    families: Arc<Families>,
    by_code: [OnceLock<Children>; CODES.len()],
}

impl MethodMetrics {
    fn new(index: usize, method: Arc<str>, model: Option<ModelNames>, families: Arc<Families>) -> Self {
        Self {
            index,
            method,
            model,
            families,
            by_code: [const { OnceLock::new() }; CODES.len()],
        }
    }

    /// Whether the method has a label of its own.
    pub fn is_known(&self) -> bool {
        self.index != 0
    }

    /// A client's request is over.
    pub fn api_request(&self, code: Code, took: Duration, request_bytes: u64, response_bytes: u64) {
        if let Some(children) = self.children(code) {
            children.api.observe(micros(took));
            children.request.observe(request_bytes);
            children.response.observe(response_bytes);
        }
    }

    /// A call to the runtime is over.
    pub fn invoke_model(&self, code: Code, took: Duration) {
        if let Some(children) = self.children(code) {
            children.invoke.observe(micros(took));
        }
    }

    fn children(&self, code: Code) -> Option<&Children> {
        let children = self.by_code.get(usize::try_from(i32::from(code)).ok()?)?;
        Some(children.get_or_init(|| {
            let labels = self.labels(code as usize);
            Children {
                api: self.families.api.get_or_create_owned(&labels),
                invoke: self.families.invoke.get_or_create_owned(&labels),
                request: self.families.request.get_or_create_owned(&labels),
                response: self.families.response.get_or_create_owned(&labels),
            }
        }))
    }

    fn labels(&self, code: usize) -> Labels {
        let code = CODES.get(code).copied().unwrap_or("UNKNOWN");
        Labels {
            method: self.method.clone(),
            code,
            model: self.model.clone(),
        }
    }

    fn drop_series(&self) {
        for (code, children) in self.by_code.iter().enumerate() {
            if children.get().is_some() {
                let (labels, families) = (self.labels(code), &self.families);
                for family in [
                    &families.api,
                    &families.invoke,
                    &families.request,
                    &families.response,
                ] {
                    family.remove(&labels);
                }
            }
        }
    }
}

/// The methods of one model under one vmodel, by the index of the method.
#[derive(Debug)]
struct VModelMetrics {
    name: Arc<str>,
    methods: Box<[OnceLock<Arc<MethodMetrics>>]>,
}

#[derive(Debug)]
struct ModelMetrics {
    name: Arc<str>,
    by_vmodel: Map<Arc<str>, Arc<VModelMetrics>>,
}

#[derive(Debug)]
pub(super) struct Requests {
    families: Arc<Families>,
    /// By full path, so that the look-up takes what is on the wire.
    methods: Map<Arc<str>, Arc<MethodMetrics>>,
    admitting: parking_lot::Mutex<()>,
    other: Arc<MethodMetrics>,
    models: Map<Arc<str>, Arc<ModelMetrics>>,
    /// Models that have labels of their own; 0 = none has.
    max_models: usize,
    /// Labels have the service, too.
    full_names: bool,
}

impl Requests {
    pub(super) fn new(options: MetricsOptions) -> Self {
        let max_models = options.max_labeled_models;
        let series = |scale| Series::new_with_constructor(Make(scale));
        let families = Arc::new(Families {
            api: series(&TIMES),
            invoke: series(&TIMES),
            request: series(&MESSAGE_SIZES),
            response: series(&MESSAGE_SIZES),
        });
        let other = Arc::new(MethodMetrics::new(0, OTHER.into(), None, families.clone()));
        let requests = Self {
            families,
            methods: Map::default(),
            admitting: parking_lot::Mutex::new(()),
            other,
            models: Map::default(),
            max_models,
            full_names: options.full_names,
        };
        for method in WELL_KNOWN {
            requests.admit(method);
        }
        requests
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let families = [
            (
                "modelmesh_api_request_milliseconds",
                "Time of requests from clients",
                &self.families.api,
            ),
            (
                "modelmesh_invoke_model_milliseconds",
                "Time of calls to the runtime",
                &self.families.invoke,
            ),
            (
                "modelmesh_request_size_bytes",
                "Size of request messages",
                &self.families.request,
            ),
            (
                "modelmesh_response_size_bytes",
                "Size of response messages",
                &self.families.response,
            ),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
    }

    /// Where calls of a method are counted.
    pub(super) fn method(&self, path: &str) -> Arc<MethodMetrics> {
        self.methods.pin().get(path).unwrap_or(&self.other).clone()
    }

    /// Gives a method a label of its own, while there are any left.
    pub(super) fn admit(&self, path: &str) {
        let methods = self.methods.pin();
        let _one_at_a_time = self.admitting.lock();
        let index = methods.len() + 1;
        if index < MAX_METHODS && !methods.contains_key(path) {
            let full = path.strip_prefix('/').unwrap_or(path);
            let short = path.rsplit('/').next().unwrap_or(path);
            let name = if self.full_names { full } else { short }.into();
            let metrics = MethodMetrics::new(index, name, None, self.families.clone());
            methods.insert(path.into(), Arc::new(metrics));
        }
    }

    /// Where calls of a method to a model are counted.
    pub(super) fn model(
        &self,
        method: &Arc<MethodMetrics>,
        model: &str,
        vmodel: Option<&str>,
    ) -> Arc<MethodMetrics> {
        if self.max_models == 0 {
            return method.clone();
        }
        let models = self.models.pin();
        let model = bounded(&models, model, self.max_models, |name| ModelMetrics {
            name,
            by_vmodel: Map::default(),
        });
        let vmodels = model.by_vmodel.pin();
        let vmodel = bounded(&vmodels, vmodel.unwrap_or(""), MAX_VMODELS, |name| {
            VModelMetrics {
                name,
                methods: (0..MAX_METHODS).map(|_| OnceLock::new()).collect(),
            }
        });
        let Some(slot) = vmodel.methods.get(method.index) else {
            return method.clone();
        };
        let made = slot.get_or_init(|| {
            let names = Some((model.name.clone(), vmodel.name.clone()));
            Arc::new(MethodMetrics::new(
                method.index,
                method.method.clone(),
                names,
                self.families.clone(),
            ))
        });
        made.clone()
    }

    /// Drops the series of a model.
    pub(super) fn remove_model(&self, model: &str) {
        if let Some(metrics) = self.models.pin().remove(model) {
            for vmodel in metrics.by_vmodel.pin().values() {
                vmodel
                    .methods
                    .iter()
                    .filter_map(OnceLock::get)
                    .for_each(|method| method.drop_series());
            }
        }
    }
}

/// The entry of a key, or that of [`OTHER`] when there are `limit` already. Racing insertions may exceed the limit by as
/// many as race.
fn bounded<'g, V, G: papaya::Guard>(
    map: &'g papaya::HashMapRef<'_, Arc<str>, Arc<V>, Hasher, G>,
    key: &str,
    limit: usize,
    make: impl Fn(Arc<str>) -> V,
) -> &'g Arc<V> {
    if let Some(found) = map.get(key) {
        return found;
    }
    let key: Arc<str> = if map.len() < limit {
        key.into()
    } else {
        OTHER.into()
    };
    map.get_or_insert_with(key.clone(), || Arc::new(make(key.clone())))
}

/// Methods that have a label from the start.
const WELL_KNOWN: [&str; 19] = [
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelStreamInfer",
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/inference.GRPCInferenceService/ModelConfig",
    "/inference.GRPCInferenceService/ModelStatistics",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/inference.GRPCInferenceService/RepositoryIndex",
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    "/inference.GRPCInferenceService/RepositoryModelUnload",
    "/mmesh.ModelMesh/registerModel",
    "/mmesh.ModelMesh/unregisterModel",
    "/mmesh.ModelMesh/getModelStatus",
    "/mmesh.ModelMesh/ensureLoaded",
    "/mmesh.ModelMesh/setVModel",
    "/mmesh.ModelMesh/deleteVModel",
    "/mmesh.ModelMesh/getVModelStatus",
];
