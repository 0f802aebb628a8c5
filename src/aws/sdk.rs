//! What the clients of all services share: settings, credentials, and one way out.
//!
//! Left to itself the SDK makes a connector for every client, only to read the machine's
//! certificates early, throws it away, and makes one more when the client is used; one of those
//! clients is for credentials that Lambda hands over in the environment anyway. Reading the
//! certificates is two thirds of a cold start. Here they are read for the first request, and once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The region and the credentials that the environment gives.
pub async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load().await
}

/// A connector for all that wait as long for a connection. Clients of the same settings share its
/// certificates, so time-outs of their own belong to attempts, of which connecting is a part.
fn http_client() -> SharedHttpClient {
    let connectors = Mutex::new(HashMap::new());
    http_client_fn(move |settings, components| {
        let waits = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = connectors.lock().unwrap_or_else(PoisonError::into_inner);
        connectors.entry(waits).or_insert_with(|| connector(settings, components)).clone()
    })
}

fn connector(
    settings: &HttpConnectorSettings,
    components: &RuntimeComponents,
) -> SharedHttpConnector {
    let mut connector = Connector::builder()
        .connector_settings(settings.clone())
        .proxy_config(ProxyConfig::from_env());
    connector.set_sleep_impl(components.sleep_impl());
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    SharedHttpConnector::new(connector.tls_provider(tls).build())
}
