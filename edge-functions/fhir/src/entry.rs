//! The component: Spin calls this.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use spin_sdk::http::Request;

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Full<Bytes>> {
    kit::spin::handle::<crate::FhirFunction>(request).await
}
