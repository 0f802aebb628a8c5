//! Who acted, distilled from `userIdentity`.
//!
//! The element's fields and types: CloudTrail guide, "CloudTrail userIdentity element".

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, bool_or_text, object, string};

/// `userIdentity` as written. Anything missing or of a wrong type is absent.
#[derive(Debug, Clone, Default)]
pub struct UserIdentity<'a> {
    /// `type`: Root, `IAMUser`, `AssumedRole`, `FederatedUser`, `AWSService`, `AWSAccount`, ...
    pub kind: Option<Text<'a>>,
    /// `arn`: of the session, for an assumed role.
    pub arn: Option<Text<'a>>,
    /// `principalId`.
    pub principal_id: Option<Text<'a>>,
    /// `accountId`.
    pub account_id: Option<Text<'a>>,
    /// `accessKeyId`.
    pub access_key_id: Option<Text<'a>>,
    /// `userName`.
    pub user_name: Option<Text<'a>>,
    /// `invokedBy`: the AWS service that made the call.
    pub invoked_by: Option<Text<'a>>,
    /// `sessionContext.sessionIssuer.arn`: the role, for an assumed role.
    pub issuer_arn: Option<Text<'a>>,
    /// `sessionContext.sessionIssuer.userName`.
    pub issuer_name: Option<Text<'a>>,
    /// `sessionContext.attributes.mfaAuthenticated`.
    pub mfa: Option<bool>,
    /// `onBehalfOf.userId`: the Identity Center user.
    pub on_behalf_of: Option<Text<'a>>,
    /// `identityProvider`: who vouches for a web identity.
    pub identity_provider: Option<Text<'a>>,
}

impl<'a> UserIdentity<'a> {
    pub(super) fn parse(raw: Option<&'a RawValue>) -> Self {
        let identity: RawIdentity<'a> = object(raw);
        let context: RawContext<'a> = object(identity.session_context);
        let issuer: RawIssuer<'a> = object(context.session_issuer);
        let attributes: RawAttributes<'a> = object(context.attributes);
        let on_behalf_of: RawOnBehalfOf<'a> = object(identity.on_behalf_of);
        UserIdentity {
            kind: string(identity.kind),
            arn: string(identity.arn),
            principal_id: string(identity.principal_id),
            account_id: string(identity.account_id),
            access_key_id: string(identity.access_key_id),
            user_name: string(identity.user_name),
            invoked_by: string(identity.invoked_by),
            issuer_arn: string(issuer.arn),
            issuer_name: string(issuer.user_name),
            mfa: bool_or_text(attributes.mfa_authenticated),
            on_behalf_of: string(on_behalf_of.user_id),
            identity_provider: string(identity.identity_provider),
        }
    }

    /// Whether `type` is `kind`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Whether a service-linked role acts, which only its AWS service can assume
    /// (IAM guide, "Service-linked roles").
    pub fn is_service_linked_role(&self) -> bool {
        self.issuer_arn.as_deref().is_some_and(|arn| arn.contains(":role/aws-service-role/"))
    }
}

/// Who acted, as a person would tell it. Empty texts, as in the guide's examples, count as absent.
#[derive(Debug, Clone, Copy)]
pub struct Principal<'r> {
    identity: &'r UserIdentity<'r>,
}

/// Where Identity Center keeps the roles that many people share
/// (Identity Center guide, "Permission sets").
pub const SHARED_ROLES: &str = "/aws-reserved/sso.amazonaws.com/";

/// How Identity Center names those roles: this, the permission set, `_`, a suffix.
const SHARED_ROLE_PREFIX: &str = "AWSReservedSSO_";

impl<'r> Principal<'r> {
    /// The principal of a record.
    pub fn of(identity: &'r UserIdentity<'r>) -> Self {
        Principal { identity }
    }

    /// `type`, or `unknown`.
    pub fn kind(self) -> &'r str {
        self.identity.kind.as_deref().unwrap_or("unknown")
    }

    /// What incidents are told apart by: the role behind all its sessions, with the session's
    /// name where many people share the role.
    pub fn key(self) -> Text<'r> {
        let identity = self.identity;
        if let Some(role) = self.role() {
            return match self.session() {
                Some(session) if self.shares_its_role() => format!("{role}/{session}").into(),
                _ => role.into(),
            };
        }
        first([&identity.arn, &identity.invoked_by, &identity.on_behalf_of])
            .or_else(|| self.principal_id())
            .or_else(|| first([&identity.user_name]))
            .or(identity.account_id.as_deref().filter(|_| self.kind() == "AWSAccount"))
            .unwrap_or("unknown")
            .into()
    }

    /// `principalId`; of a role of another account without the session's name behind it, which is
    /// all that such a record tells of the role.
    fn principal_id(self) -> Option<&'r str> {
        let id = first([&self.identity.principal_id])?;
        match self.kind() {
            "AWSAccount" => id.split(':').next(),
            _ => Some(id),
        }
    }

    /// The role's ARN for an assumed role, else the principal's own.
    pub fn arn(self) -> Option<&'r str> {
        self.role().or_else(|| first([&self.identity.arn]))
    }

    /// The role whose session acts. The session of a federated user has an issuer too, but it is
    /// the user who asked for it, and may have asked for many.
    fn role(self) -> Option<&'r str> {
        first([&self.identity.issuer_arn]).filter(|_| self.kind() != "FederatedUser")
    }

    /// Whether many people act under this role, each in a session of their own name.
    pub fn shares_its_role(self) -> bool {
        self.identity.issuer_arn.as_deref().is_some_and(|role| role.contains(SHARED_ROLES))
    }

    /// The session's name, for an assumed role.
    pub fn session(self) -> Option<&'r str> {
        if let Some((_, session)) = self.identity.arn.as_deref()?.split_once(":assumed-role/") {
            return Some(session.split_once('/')?.1);
        }
        None
    }

    /// The short name a person would use.
    pub fn name(self) -> Text<'r> {
        let identity = self.identity;
        match self.kind() {
            "Root" => "root".into(),
            "AWSAccount" => match first([&identity.account_id]) {
                Some(account) => format!("account {account}").into(),
                None => "another account".into(),
            },
            "FederatedUser" => self.federated_user(),
            "IdentityCenterUser" => self.identity_center_user(),
            "WebIdentityUser" => self.vouched_for_by(self.provider()),
            // The provider of a SAML user is a hash, which tells nobody anything.
            "SAMLUser" => self.vouched_for_by(Some("SAML")),
            _ => self.own_name(),
        }
    }

    fn own_name(self) -> Text<'r> {
        let identity = self.identity;
        let name = first([&identity.user_name, &identity.issuer_name]);
        match name.or_else(|| last_part(self.arn()?)) {
            Some(role) => self.person_behind(role).unwrap_or(role.into()),
            None => first([
                &identity.invoked_by,
                &identity.on_behalf_of,
                &identity.principal_id,
                &identity.access_key_id,
            ])
            .unwrap_or("unknown")
            .into(),
        }
    }

    /// `nikki (federated by mateo)`.
    fn federated_user(self) -> Text<'r> {
        let issuer = first([&self.identity.issuer_name]);
        let issuer = issuer.or_else(|| last_part(first([&self.identity.issuer_arn])?));
        match (first([&self.identity.arn]).and_then(last_part), issuer) {
            (Some(user), Some(issuer)) => format!("{user} (federated by {issuer})").into(),
            (Some(user), None) => user.into(),
            (None, _) => self.own_name(),
        }
    }

    /// Records have the id of such a user, and no name.
    fn identity_center_user(self) -> Text<'r> {
        match first([&self.identity.user_name, &self.identity.on_behalf_of]) {
            Some(user) => format!("Identity Center user {user}").into(),
            None => self.own_name(),
        }
    }

    /// `repo:octo/site (token.actions.githubusercontent.com)`.
    fn vouched_for_by(self, provider: Option<&str>) -> Text<'r> {
        match (first([&self.identity.user_name]), provider) {
            (Some(user), Some(provider)) => format!("{user} ({provider})").into(),
            _ => self.own_name(),
        }
    }

    /// The provider's domain: of OpenID Connect it is the end of an ARN.
    fn provider(self) -> Option<&'r str> {
        let provider = first([&self.identity.identity_provider])?;
        Some(provider.split_once(":oidc-provider/").map_or(provider, |(_, domain)| domain))
    }

    /// `mateo@example.com (AdministratorAccess)` for an Identity Center role.
    fn person_behind(self, role: &str) -> Option<Text<'r>> {
        let set = role.strip_prefix(SHARED_ROLE_PREFIX)?;
        let set = set.rsplit_once('_').map_or(set, |(set, _)| set);
        Some(format!("{} ({set})", self.session()?).into())
    }

    /// Whether the session was opened with a second factor, where the record says so.
    pub fn mfa(self) -> Option<bool> {
        self.identity.mfa
    }

    /// The access key that signed the call.
    pub fn access_key_id(self) -> Option<&'r str> {
        self.identity.access_key_id.as_deref()
    }
}

fn first<'r, const N: usize>(texts: [&'r Option<Text<'r>>; N]) -> Option<&'r str> {
    texts.into_iter().filter_map(|text| text.as_deref()).find(|text| !text.is_empty())
}

fn last_part(arn: &str) -> Option<&str> {
    arn.rsplit(['/', ':']).next().filter(|part| !part.is_empty())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawIdentity<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    arn: Option<&'a RawValue>,
    #[serde(borrow)]
    principal_id: Option<&'a RawValue>,
    #[serde(borrow)]
    account_id: Option<&'a RawValue>,
    #[serde(borrow)]
    access_key_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_name: Option<&'a RawValue>,
    #[serde(borrow)]
    invoked_by: Option<&'a RawValue>,
    #[serde(borrow)]
    session_context: Option<&'a RawValue>,
    #[serde(borrow)]
    on_behalf_of: Option<&'a RawValue>,
    #[serde(borrow)]
    identity_provider: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawContext<'a> {
    #[serde(borrow)]
    session_issuer: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawIssuer<'a> {
    #[serde(borrow)]
    arn: Option<&'a RawValue>,
    #[serde(borrow)]
    user_name: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawAttributes<'a> {
    #[serde(borrow)]
    mfa_authenticated: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawOnBehalfOf<'a> {
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(identity: &str) -> [String; 3] {
        let raw: Box<RawValue> = RawValue::from_string(identity.to_owned()).unwrap();
        let identity = UserIdentity::parse(Some(&raw));
        let principal = Principal::of(&identity);
        [principal.kind().into(), principal.name().into(), principal.key().into()]
    }

    #[test]
    fn principals_are_named_as_a_person_would() {
        let root = r#"{"type":"Root","arn":"arn:aws:iam::111122223333:root"}"#;
        assert_eq!(named(root), ["Root", "root", "arn:aws:iam::111122223333:root"]);

        let user = r#"{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ops/mateo"}"#;
        assert_eq!(named(user), ["IAMUser", "mateo", "arn:aws:iam::111122223333:user/ops/mateo"]);

        let service = r#"{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}"#;
        assert_eq!(named(service), ["AWSService", "ec2.amazonaws.com", "ec2.amazonaws.com"]);

        let account = r#"{"type":"AWSAccount","principalId":"AIDA","accountId":"444455556666"}"#;
        assert_eq!(named(account), ["AWSAccount", "account 444455556666", "AIDA"]);

        assert_eq!(named("{}"), ["unknown", "unknown", "unknown"]);
        assert_eq!(named("[7]"), ["unknown", "unknown", "unknown"]);
    }

    #[test]
    fn sessions_of_a_role_are_one_but_a_shared_role_is_many() {
        let session = |path: &str, role: &str| {
            format!(
                r#"{{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/{role}/mateo@example.com",
                "sessionContext":{{"sessionIssuer":{{"arn":"arn:aws:iam::111122223333:role/{path}{role}"}}}}}}"#
            )
        };
        let expected = ["AssumedRole", "ci", "arn:aws:iam::111122223333:role/ci"];
        assert_eq!(named(&session("", "ci")), expected);

        let [_, name, key] = named(&session(
            "aws-reserved/sso.amazonaws.com/eu-west-1/",
            "AWSReservedSSO_AdministratorAccess_0123456789abcdef",
        ));
        assert_eq!(name, "mateo@example.com (AdministratorAccess)");
        assert!(key.ends_with("_0123456789abcdef/mateo@example.com"), "{key}");
    }
}
