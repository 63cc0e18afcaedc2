use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        append(&mut map, name, &HeaderValue::from_str(value).expect("a value"));
    }
    map
}

#[test]
fn what_passes_to_the_model() {
    let request = map(&[
        ("authorization", "Bearer x"),
        ("mm-model-id", "m"),
        ("mm-vmodel-id-bin", "dg=="),
        ("x-request-id", "7"),
        ("traceparent", "00-1-2-03"),
        ("grpc-timeout", "1S"),
        ("grpc-metadata-custom", "a"),
        ("grpc-metadata-custom", "b"),
        ("grpc-metadata-blob-bin", "AA=="),
        // These do not pass.
        ("grpc-metadata-grpc-timeout", "9H"),
        ("grpc-metadata-content-type", "x"),
        ("grpc-metadata-te", "x"),
        ("grpc-metadata-", "x"),
        ("cookie", "secret"),
        ("content-type", "application/json"),
    ]);
    let expected = map(&[
        ("authorization", "Bearer x"),
        ("mm-model-id", "m"),
        ("mm-vmodel-id-bin", "dg=="),
        ("x-request-id", "7"),
        ("traceparent", "00-1-2-03"),
        ("grpc-timeout", "1S"),
        ("custom", "a"),
        ("custom", "b"),
        ("blob-bin", "AA=="),
    ]);
    assert_eq!(of_request(&request), expected);
}

#[test]
fn what_passes_to_the_client() {
    let answer = map(&[
        ("content-type", "application/grpc"),
        ("grpc-status", "0"),
        ("x-request-id", "7"),
        ("cost", "3"),
    ]);
    assert_eq!(
        of_response(&answer),
        map(&[("x-request-id", "7"), ("grpc-metadata-cost", "3")])
    );
}

#[test]
fn timeouts() {
    let parse = |text| timeout(&map(&[("grpc-timeout", text)])).map_err(|failure| failure.http.as_u16());
    assert_eq!(parse("2H"), Ok(Some(Duration::from_hours(2))));
    assert_eq!(parse("3M"), Ok(Some(Duration::from_mins(3))));
    assert_eq!(parse("4S"), Ok(Some(Duration::from_secs(4))));
    assert_eq!(parse("99999999m"), Ok(Some(Duration::from_millis(99_999_999))));
    assert_eq!(parse("6u"), Ok(Some(Duration::from_micros(6))));
    assert_eq!(parse("7n"), Ok(Some(Duration::from_nanos(7))));
    for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "999999999S"] {
        assert_eq!(parse(text), Err(400), "{text}");
    }
    assert_eq!(
        timeout(&HeaderMap::new()).map_err(|failure| failure.http),
        Ok(None)
    );
}

#[test]
fn codings_of_bodies() {
    let parse =
        |text| content_coding(&map(&[("content-encoding", text)])).map_err(|failure| failure.http.as_u16());
    assert_eq!(parse("gzip"), Ok(Some(Coding::Gzip)));
    assert_eq!(parse("X-GZIP"), Ok(Some(Coding::Gzip)));
    assert_eq!(parse("deflate"), Ok(Some(Coding::Deflate)));
    assert_eq!(parse("identity"), Ok(None));
    assert_eq!(parse("br"), Err(415));
    assert_eq!(parse("gzip, gzip"), Err(415));
}

#[test]
fn codings_that_are_accepted() {
    let accepted = |text| accepted_coding(&map(&[("accept-encoding", text)]));
    assert_eq!(accepted("gzip"), Some(Coding::Gzip));
    assert_eq!(accepted("br, deflate, gzip"), Some(Coding::Gzip));
    assert_eq!(accepted("deflate;q=0.8, gzip;q=0.5"), Some(Coding::Deflate));
    assert_eq!(accepted("gzip;q=0, deflate"), Some(Coding::Deflate));
    assert_eq!(accepted("gzip;q=0"), None);
    assert_eq!(accepted("*"), Some(Coding::Gzip));
    assert_eq!(accepted("*;q=0"), None);
    assert_eq!(accepted("identity, br"), None);
    assert_eq!(accepted("gzip;q=nonsense"), None);
    assert_eq!(accepted_coding(&HeaderMap::new()), None);
}
