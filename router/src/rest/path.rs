//! Method and path to what is asked for.

use http::Method;
use percent_encoding::percent_decode_str;

/// A model, and its version if the path names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) version: String,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Live,
    Ready,
    ServerMetadata,
    ModelReady(Model),
    ModelMetadata(Model),
    ModelConfig(Model),
    ModelStatistics(Model),
    Infer(Model),
    RepositoryIndex,
    RepositoryLoad(String),
    RepositoryUnload(String),
    V1Live,
    V1List,
    V1Ready(String),
    V1Predict(String),
}

/// Why nothing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// No such path.
    NotFound,
    /// Another method is allowed.
    Method(&'static str),
    /// A name is not UTF-8 after percent-decoding, or empty.
    Name,
}

const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// Finds the route. Paths are split before they are decoded, so names may hold an encoded slash.
pub(super) fn route(method: &Method, path: &str) -> Result<Route, NoRoute> {
    let path = path.strip_prefix('/').ok_or(NoRoute::NotFound)?;
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).splitn(8, '/').collect();
    let found = match segments.as_slice() {
        ["v2", rest @ ..] => v2(rest)?,
        // KServe's V1 asks the root whether the server is alive.
        [""] => Route::V1Live,
        ["v1", "models"] => Route::V1List,
        ["v1", "models", name] => v1(method, decoded(name)?)?,
        _ => return Err(NoRoute::NotFound),
    };
    let allowed = found.allowed();
    if allowed.split(", ").any(|name| name == method.as_str()) {
        Ok(found)
    } else {
        Err(NoRoute::Method(allowed))
    }
}

/// The verb is split off after decoding, because some clients encode its colon.
fn v1(method: &Method, name: String) -> Result<Route, NoRoute> {
    match name.strip_suffix(":predict") {
        // A GET asks for a model that happens to be called so.
        _ if method == Method::GET || method == Method::HEAD => Ok(Route::V1Ready(name)),
        Some("") => Err(NoRoute::Name),
        Some(model) => Ok(Route::V1Predict(model.to_owned())),
        None => Ok(Route::V1Ready(name)),
    }
}

fn v2(segments: &[&str]) -> Result<Route, NoRoute> {
    Ok(match segments {
        [] => Route::ServerMetadata,
        ["health", "live"] => Route::Live,
        ["health", "ready"] => Route::Ready,
        ["repository", "index"] => Route::RepositoryIndex,
        ["repository", "models", name, "load"] => Route::RepositoryLoad(decoded(name)?),
        ["repository", "models", name, "unload"] => Route::RepositoryUnload(decoded(name)?),
        ["models", name, "versions", version, rest @ ..] => of_model(model(name, version)?, rest)?,
        ["models", name, rest @ ..] => of_model(
            Model {
                name: decoded(name)?,
                version: String::new(),
            },
            rest,
        )?,
        _ => return Err(NoRoute::NotFound),
    })
}

fn of_model(model: Model, segments: &[&str]) -> Result<Route, NoRoute> {
    Ok(match segments {
        [] => Route::ModelMetadata(model),
        ["ready"] => Route::ModelReady(model),
        ["config"] => Route::ModelConfig(model),
        ["stats"] => Route::ModelStatistics(model),
        ["infer"] => Route::Infer(model),
        _ => return Err(NoRoute::NotFound),
    })
}

fn model(name: &str, version: &str) -> Result<Model, NoRoute> {
    Ok(Model {
        name: decoded(name)?,
        version: decoded(version)?,
    })
}

fn decoded(segment: &str) -> Result<String, NoRoute> {
    match percent_decode_str(segment).decode_utf8() {
        Ok(name) if !name.is_empty() => Ok(name.into_owned()),
        _ => Err(NoRoute::Name),
    }
}

impl Route {
    fn allowed(&self) -> &'static str {
        match self {
            Self::Infer(_)
            | Self::RepositoryIndex
            | Self::RepositoryLoad(_)
            | Self::RepositoryUnload(_)
            | Self::V1Predict(_) => POST,
            _ => GET,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &Method, path: &str, expected: &Result<Route, NoRoute>) {
        assert_eq!(&route(method, path), expected, "{method} {path}");
    }

    fn named(name: &str, version: &str) -> Model {
        Model {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    #[test]
    fn every_route() {
        let get = |path, route| check(&Method::GET, path, &Ok(route));
        let post = |path, route| check(&Method::POST, path, &Ok(route));
        get("/v2", Route::ServerMetadata);
        get("/v2/", Route::ServerMetadata);
        get("/v2/health/live", Route::Live);
        get("/v2/health/ready", Route::Ready);
        get("/v2/models/m", Route::ModelMetadata(named("m", "")));
        get("/v2/models/m/versions/2", Route::ModelMetadata(named("m", "2")));
        get("/v2/models/m/ready", Route::ModelReady(named("m", "")));
        get(
            "/v2/models/m/versions/2/ready",
            Route::ModelReady(named("m", "2")),
        );
        get("/v2/models/m/config", Route::ModelConfig(named("m", "")));
        get(
            "/v2/models/m/versions/2/stats",
            Route::ModelStatistics(named("m", "2")),
        );
        post("/v2/models/m/infer", Route::Infer(named("m", "")));
        post("/v2/models/m/versions/2/infer", Route::Infer(named("m", "2")));
        post("/v2/repository/index", Route::RepositoryIndex);
        post(
            "/v2/repository/models/m/load",
            Route::RepositoryLoad("m".to_owned()),
        );
        post(
            "/v2/repository/models/m/unload",
            Route::RepositoryUnload("m".to_owned()),
        );
        get("/", Route::V1Live);
        get("/v1/models", Route::V1List);
        get("/v1/models/m", Route::V1Ready("m".to_owned()));
        post("/v1/models/m:predict", Route::V1Predict("m".to_owned()));
    }

    #[test]
    fn names_may_hold_colons_and_encoded_slashes() {
        check(
            &Method::POST,
            "/v1/models/a:b%2Fc:predict",
            &Ok(Route::V1Predict("a:b/c".to_owned())),
        );
        check(
            &Method::POST,
            "/v1/models/a%3Apredict",
            &Ok(Route::V1Predict("a".to_owned())),
        );
        check(
            &Method::GET,
            "/v1/models/a:predict",
            &Ok(Route::V1Ready("a:predict".to_owned())),
        );
        check(
            &Method::GET,
            "/v1/models/a:b",
            &Ok(Route::V1Ready("a:b".to_owned())),
        );
        check(
            &Method::GET,
            "/v2/models/a%20%C3%A9",
            &Ok(Route::ModelMetadata(named("a \u{e9}", ""))),
        );
        check(
            &Method::POST,
            "/v2/models/versions/infer",
            &Ok(Route::Infer(named("versions", ""))),
        );
    }

    #[test]
    fn what_is_no_route() {
        check(&Method::POST, "/", &Err(NoRoute::Method("GET, HEAD")));
        check(&Method::GET, "/v3", &Err(NoRoute::NotFound));
        check(&Method::GET, "/v2/models", &Err(NoRoute::NotFound));
        check(&Method::GET, "/v2/models/m/what", &Err(NoRoute::NotFound));
        check(
            &Method::GET,
            "/v2/models/m/ready/a/b/c/d/e/f",
            &Err(NoRoute::NotFound),
        );
        check(&Method::GET, "/v2/models/%ff", &Err(NoRoute::Name));
        check(&Method::GET, "/v2/models//ready", &Err(NoRoute::Name));
        check(&Method::POST, "/v1/models/:predict", &Err(NoRoute::Name));
        check(&Method::GET, "/v2/models/m/infer", &Err(NoRoute::Method(POST)));
        check(&Method::POST, "/v2/models/m", &Err(NoRoute::Method(GET)));
        check(&Method::PUT, "/v1/models/m:predict", &Err(NoRoute::Method(POST)));
        check(&Method::POST, "/v1/models/m", &Err(NoRoute::Method(GET)));
    }
}
