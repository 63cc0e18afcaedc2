use tonic::Code;

use super::status::is_lost;

#[test]
fn runtimes_say_in_different_ways_that_a_model_is_gone() {
    for (code, text) in [
        (Code::NotFound, ""),
        (Code::NotFound, "anything"),
        (Code::Unavailable, "Request for unknown model: 'm' is not found"),
        (
            Code::Unavailable,
            "Request for unknown model: 'm' has no available versions",
        ),
        (Code::InvalidArgument, "Model m not found"),
        (Code::InvalidArgument, "Model m with version v1 not found"),
    ] {
        assert!(is_lost(code, text), "{code:?} {text}");
    }
    for (code, text) in [
        (Code::Ok, ""),
        (Code::Unavailable, "connection refused"),
        (Code::Unavailable, "Request for unknown model: 'm' is loading"),
        (Code::InvalidArgument, "input x not found"),
        (Code::InvalidArgument, "Model m takes 3 inputs"),
        (Code::Internal, "Model m not found"),
    ] {
        assert!(!is_lost(code, text), "{code:?} {text}");
    }
}
