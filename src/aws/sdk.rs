//! What the clients of all services share: settings, credentials, and one way out.
//!
//! Left to itself the SDK builds a connector for each client and throws it away, only to read the
//! machine's certificates early, and one more when the client is used. Here there is one, for all
//! of them, and none before the first request: most invocations have nothing to ask of anybody.

use std::sync::OnceLock;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ssm::config::SharedHttpClient;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

/// The region and the credentials that the environment gives.
pub async fn sdk_config() -> SdkConfig {
    let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
    config.into_builder().http_client(http_client()).build()
}

/// The connector knows no time-outs: clients bound their attempts, of which connecting is a part.
fn http_client() -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |_, components| {
        let new = || {
            let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
            connector.set_sleep_impl(components.sleep_impl());
            let tls = Provider::Rustls(CryptoMode::AwsLc);
            SharedHttpConnector::new(connector.tls_provider(tls).build())
        };
        connector.get_or_init(new).clone()
    })
}
