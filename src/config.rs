//! Every setting: its name, its meaning, its check.
//!
//! The settings are the environment of the Lambda function. They are read through a function that
//! the binary passes in, all faults are found at once, and no other room knows a setting's name.

use std::fmt;
use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::alert::{Formats, HttpsFormat};
use crate::handler::Limits;
use crate::policy::Patterns;

/// The settings of a function.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TOPIC_ARN` and `SHADOW`: where alerts go.
    pub outlet: Outlet,
    /// `APPROVED_REGIONS`: a comma list that overrides the policy's own.
    pub approved_regions: Option<Patterns>,
    /// `POLICY_PARAMETER`: where the policy is read; without it the default policy holds.
    pub policy_parameter: Option<Parameter>,
    /// `POLICY_TTL_SECONDS`: how long a policy that was read stays unquestioned, 0 to 86,400.
    pub policy_ttl: SignedDuration,
    /// `LEDGER_TABLE`: where the ledger is kept; without it, in the memory of each container.
    pub ledger_table: Option<LedgerTable>,
    /// `WINDOW_MINUTES`: how long the ledger keeps silent about what was told, 1 to 1,440.
    pub window: SignedDuration,
    /// `HTTPS_FORMAT`: what subscribers by HTTPS get.
    pub formats: Formats,
    /// `MAX_MESSAGES`, 2 to 1,000, and `MAX_INFLATED_BYTES`, 1 MiB to 4 GiB.
    pub limits: Limits,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlet {
    /// To this topic.
    Topic(Topic),
    /// Nowhere: they are logged.
    Shadow,
}

/// An SNS topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// The region that it is in, which need not be the function's.
    pub region: String,
}

/// A parameter of the Systems Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, or its ARN where that was given.
    pub name: String,
    /// The region that an ARN names; else it is in the function's own.
    pub region: Option<String>,
}

/// A DynamoDB table for the ledger, of the function's own account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerTable {
    /// Its name.
    pub name: String,
    /// What stands before the incident's id in a key. The shadow has keys of its own: what nobody
    /// was told must not count as told when the shadow is over.
    pub prefix: &'static str,
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The setting.
    pub name: &'static str,
    /// What is wrong and what to do.
    pub what: String,
}

/// All settings that cannot be used; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults(pub Vec<ConfigFault>);

const TOPIC_ARN: &str = "TOPIC_ARN";
const APPROVED_REGIONS: &str = "APPROVED_REGIONS";
const POLICY_PARAMETER: &str = "POLICY_PARAMETER";
const POLICY_TTL_SECONDS: &str = "POLICY_TTL_SECONDS";
const LEDGER_TABLE: &str = "LEDGER_TABLE";
const SHADOW: &str = "SHADOW";
const HTTPS_FORMAT: &str = "HTTPS_FORMAT";
const WINDOW_MINUTES: &str = "WINDOW_MINUTES";
const MAX_MESSAGES: &str = "MAX_MESSAGES";
const MAX_INFLATED_BYTES: &str = "MAX_INFLATED_BYTES";

impl Config {
    /// Reads the settings through `var`, which gives the value of a variable that is set.
    ///
    /// # Errors
    /// All faults together.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader { var, faults: Vec::new() };
        let outlet = reader.outlet();
        let approved_regions = reader.approved_regions();
        let policy_parameter = reader.policy_parameter();
        let policy_ttl = reader.number(POLICY_TTL_SECONDS, 300, 0..=86_400);
        let ledger_table = reader.ledger_table(outlet.as_ref());
        let window = reader.number(WINDOW_MINUTES, 60, 1..=1440);
        let formats = Formats { https: reader.https_format() };
        let defaults = Limits::default();
        let max_messages = reader.number(MAX_MESSAGES, defaults.max_messages as u64, 2..=1000);
        let max_inflated_bytes =
            reader.number(MAX_INFLATED_BYTES, defaults.max_inflated_bytes, 1 << 20..=1 << 32);
        match outlet {
            Some(outlet) if reader.faults.is_empty() => Ok(Config {
                outlet,
                approved_regions,
                policy_parameter,
                policy_ttl: SignedDuration::from_secs(i64::try_from(policy_ttl).unwrap_or(300)),
                ledger_table,
                window: SignedDuration::from_mins(i64::try_from(window).unwrap_or(60)),
                formats,
                limits: Limits {
                    max_inflated_bytes,
                    max_messages: usize::try_from(max_messages).unwrap_or(defaults.max_messages),
                },
            }),
            _ => Err(ConfigFaults(reader.faults)),
        }
    }
}

impl Topic {
    /// Checks an ARN of a standard topic.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(arn: &str) -> Result<Self, String> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts.as_slice() else {
            return Err(format!(
                "`{arn}` is no topic: write arn:aws:sns:REGION:ACCOUNT:NAME (an ARN with a \
                 seventh part is a subscription's)"
            ));
        };
        if partition.is_empty() || region.is_empty() || account.is_empty() || name.is_empty() {
            return Err(format!("`{arn}` is no topic: a part of it is empty"));
        }
        if name.ends_with(".fifo") {
            return Err(format!(
                "`{arn}` is a FIFO topic, which takes neither mail nor SMS: use a standard topic"
            ));
        }
        Ok(Topic { arn: arn.to_owned(), region: (*region).to_owned() })
    }
}

impl Parameter {
    /// Checks the name or the ARN of a parameter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, region) = match text.split(':').collect::<Vec<_>>().as_slice() {
            [name] => (*name, None),
            ["arn", _, "ssm", region, _, resource] => {
                (resource.strip_prefix("parameter/").unwrap_or_default(), Some(*region))
            }
            [_, _] | ["arn", _, "ssm", _, _, _, _] => {
                return Err(format!(
                    "`{text}` chooses a version or a label: the newest version is always read, \
                     so leave out what stands behind the last colon"
                ));
            }
            _ => ("", None),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(allowed);
        if !is_name || region == Some("") {
            return Err(format!(
                "`{text}` is no parameter: write its name (letters, digits and _ . - /, \
                 {LONGEST_NAME} at most) or arn:aws:ssm:REGION:ACCOUNT:parameter/NAME"
            ));
        }
        Ok(Parameter { name: text.to_owned(), region: region.map(str::to_owned) })
    }
}

/// Characters of a parameter's name (Systems Manager API Reference, "PutParameter").
const LONGEST_NAME: usize = 1011;

impl LedgerTable {
    /// Checks the name of a table, which is for the shadow or not.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str, shadow: bool) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !TABLE_NAME.contains(&name.len()) || !name.chars().all(allowed) {
            let (least, most) = (TABLE_NAME.start(), TABLE_NAME.end());
            return Err(format!(
                "`{name}` is no table: write the name (not the ARN) of a DynamoDB table in the \
                 function's own region, {least} to {most} letters, digits and _ . -"
            ));
        }
        Ok(LedgerTable { name: name.to_owned(), prefix: if shadow { "shadow#" } else { "" } })
    }
}

/// Characters of a table's name (DynamoDB guide, "Supported data types and naming rules").
const TABLE_NAME: RangeInclusive<usize> = 3..=255;

struct Reader<V> {
    var: V,
    faults: Vec<ConfigFault>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    /// A variable that is set to nothing counts as not set: templates cannot leave one out.
    fn get(&self, name: &str) -> Option<String> {
        (self.var)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn fault(&mut self, name: &'static str, what: String) {
        self.faults.push(ConfigFault { name, what });
    }

    fn outlet(&mut self) -> Option<Outlet> {
        let shadow = self.shadow();
        // A wrong topic is a fault in the shadow too: out of it, it will be needed.
        let topic = match self.get(TOPIC_ARN) {
            Some(arn) => Topic::parse(&arn).map_err(|what| self.fault(TOPIC_ARN, what)).ok(),
            None if shadow => None,
            None => {
                self.fault(TOPIC_ARN, "is not set: it names the SNS topic for alerts".to_owned());
                None
            }
        };
        if shadow { Some(Outlet::Shadow) } else { topic.map(Outlet::Topic) }
    }

    fn shadow(&mut self) -> bool {
        let Some(text) = self.get(SHADOW) else { return false };
        match text.to_ascii_lowercase().as_str() {
            "true" => return true,
            "false" => {}
            _ => self.fault(SHADOW, format!("`{text}` is neither true nor false")),
        }
        false
    }

    fn https_format(&mut self) -> HttpsFormat {
        let Some(text) = self.get(HTTPS_FORMAT) else { return HttpsFormat::default() };
        match text.to_ascii_lowercase().as_str() {
            "amazon-q" => return HttpsFormat::AmazonQ,
            "json" => {}
            _ => self.fault(HTTPS_FORMAT, format!("`{text}` is neither json nor amazon-q")),
        }
        HttpsFormat::Json
    }

    fn policy_parameter(&mut self) -> Option<Parameter> {
        let text = self.get(POLICY_PARAMETER)?;
        Parameter::parse(&text).map_err(|what| self.fault(POLICY_PARAMETER, what)).ok()
    }

    fn ledger_table(&mut self, outlet: Option<&Outlet>) -> Option<LedgerTable> {
        let name = self.get(LEDGER_TABLE)?;
        let shadow = outlet == Some(&Outlet::Shadow);
        let table = LedgerTable::parse(&name, shadow);
        table.map_err(|what| self.fault(LEDGER_TABLE, what)).ok()
    }

    fn approved_regions(&mut self) -> Option<Patterns> {
        let list = self.get(APPROVED_REGIONS)?;
        let codes: Vec<&str> = list.split(',').map(str::trim).filter(|c| !c.is_empty()).collect();
        match Patterns::regions(&codes) {
            Ok(patterns) => Some(patterns),
            Err(faults) => {
                self.fault(APPROVED_REGIONS, faults.to_string());
                None
            }
        }
    }

    fn number(&mut self, name: &'static str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        let Some(text) = self.get(name) else { return default };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => return number,
            _ => {}
        }
        let (least, most) = (allowed.start(), allowed.end());
        self.fault(name, format!("`{text}` is no whole number from {least} to {most}"));
        default
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", fault.name, fault.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:alerts";

    fn config(vars: &[(&str, &str)]) -> Result<Config, String> {
        let var = |name: &str| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Config::from_vars(var).map_err(|faults| faults.to_string())
    }

    #[test]
    fn the_topic_is_enough() {
        let config = config(&[("TOPIC_ARN", TOPIC), ("MAX_MESSAGES", "")]).unwrap();
        let topic = Topic { arn: TOPIC.to_owned(), region: "eu-west-1".to_owned() };
        assert_eq!(config.outlet, Outlet::Topic(topic));
        assert_eq!(config.policy_parameter, None);
        assert_eq!(config.ledger_table, None);
        assert_eq!(config.policy_ttl, SignedDuration::from_mins(5));
        assert_eq!(config.window, SignedDuration::from_mins(60));
        assert_eq!(config.formats, Formats { https: HttpsFormat::Json });
        assert_eq!(config.limits, Limits::default());
        assert!(config.approved_regions.is_none());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = config(&[
            ("APPROVED_REGIONS", "us-east-1, *"),
            ("WINDOW_MINUTES", "0"),
            ("MAX_MESSAGES", "many"),
            ("POLICY_PARAMETER", "my policy"),
            ("POLICY_TTL_SECONDS", "86401"),
            ("HTTPS_FORMAT", "chime"),
            ("LEDGER_TABLE", "my table"),
            ("SHADOW", "yes"),
        ]);
        let faults = faults.unwrap_err();
        for name in [
            "TOPIC_ARN: is not set",
            "APPROVED_REGIONS: `*`",
            "WINDOW_MINUTES",
            "MAX_MESSAGES",
            "POLICY_PARAMETER: `my policy`",
            "POLICY_TTL_SECONDS: `86401`",
            "HTTPS_FORMAT: `chime` is neither json nor amazon-q",
            "LEDGER_TABLE: `my table` is no table",
            "SHADOW: `yes` is neither",
        ] {
            assert!(faults.contains(name), "{name} in {faults}");
        }
    }

    #[test]
    fn https_gets_json_or_a_notification() {
        let https = |format| {
            config(&[("TOPIC_ARN", TOPIC), ("HTTPS_FORMAT", format)]).map(|c| c.formats.https)
        };
        assert_eq!(https(""), Ok(HttpsFormat::Json));
        assert_eq!(https(" JSON "), Ok(HttpsFormat::Json));
        assert_eq!(https("amazon-q"), Ok(HttpsFormat::AmazonQ));
        assert_eq!(https("Amazon-Q"), Ok(HttpsFormat::AmazonQ));
        assert!(https("amazonq").unwrap_err().starts_with("HTTPS_FORMAT"));
    }

    #[test]
    fn only_standard_topics_are_taken() {
        let fault = |arn: &str| config(&[("TOPIC_ARN", arn)]).unwrap_err();
        assert!(fault(&format!("{TOPIC}.fifo")).contains("FIFO"));
        assert!(fault(&format!("{TOPIC}:1234")).contains("subscription"));
        assert!(fault("arn:aws:sqs:eu-west-1:111122223333:q").contains("no topic"));
        assert!(fault("arn:aws:sns::111122223333:q").contains("empty"));
        assert!(config(&[("TOPIC_ARN", TOPIC), ("APPROVED_REGIONS", " , ")]).is_err());
    }

    #[test]
    fn a_shadow_needs_no_topic_but_a_wrong_one_is_a_fault() {
        let outlet = |vars: &[(&str, &str)]| config(vars).map(|config| config.outlet);
        assert_eq!(outlet(&[("SHADOW", "True")]), Ok(Outlet::Shadow));
        assert_eq!(outlet(&[("SHADOW", "true"), ("TOPIC_ARN", TOPIC)]), Ok(Outlet::Shadow));
        assert!(outlet(&[("SHADOW", "true"), ("TOPIC_ARN", "mine")]).is_err());
        assert!(outlet(&[("SHADOW", "false")]).unwrap_err().contains("TOPIC_ARN"));
        let told = outlet(&[("SHADOW", "FALSE"), ("TOPIC_ARN", TOPIC)]).unwrap();
        assert!(matches!(told, Outlet::Topic(_)));
    }

    #[test]
    fn the_policy_is_named_by_name_or_arn_and_never_by_version() {
        const ARN: &str = "arn:aws-cn:ssm:cn-north-1:111122223333:parameter/my/policy";
        let policy = |name: &str| {
            let vars = [("TOPIC_ARN", TOPIC), ("POLICY_PARAMETER", name)];
            config(&vars).map(|config| config.policy_parameter.unwrap())
        };
        for name in ["/my/policy", "My_policy.1-a", &"x".repeat(1011)] {
            assert_eq!(policy(name), Ok(Parameter { name: name.to_owned(), region: None }));
        }
        let region = Some("cn-north-1".to_owned());
        assert_eq!(policy(ARN), Ok(Parameter { name: ARN.to_owned(), region }));
        for selected in ["/my/policy:3", "policy:live", &format!("{ARN}:3")] {
            let fault = policy(selected).unwrap_err();
            assert!(fault.contains("the newest version is always read"), "{fault}");
        }
        let too_long = "x".repeat(1012);
        let foreign = "arn:aws:sns:eu-west-1:111122223333:alerts";
        let no_region = "arn:aws:ssm::111122223333:parameter/my/policy";
        let no_parameter = "arn:aws:ssm:eu-west-1:111122223333:document/my";
        for name in ["my policy", "/my/{policy}", &too_long, foreign, no_region, no_parameter] {
            assert!(policy(name).unwrap_err().contains("is no parameter"), "{name}");
        }
        let ttl = |seconds| {
            config(&[("TOPIC_ARN", TOPIC), ("POLICY_TTL_SECONDS", seconds)]).map(|c| c.policy_ttl)
        };
        assert_eq!(ttl("0"), Ok(SignedDuration::ZERO));
        assert_eq!(ttl("86400"), Ok(SignedDuration::from_hours(24)));
    }

    #[test]
    fn the_ledger_is_in_memory_unless_a_table_is_named() {
        let table = |vars: &[(&str, &str)]| {
            config(&[vars, &[("TOPIC_ARN", TOPIC)]].concat()).map(|config| config.ledger_table)
        };
        assert_eq!(table(&[("LEDGER_TABLE", " ")]), Ok(None));
        for name in ["abc", "My_table.1-a", &"x".repeat(255)] {
            let expected = LedgerTable { name: name.to_owned(), prefix: "" };
            assert_eq!(table(&[("LEDGER_TABLE", name)]), Ok(Some(expected)));
        }
        let arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/ledger";
        for name in ["ab", &"x".repeat(256), "my/table", arn] {
            let fault = table(&[("LEDGER_TABLE", name)]).unwrap_err();
            assert!(fault.contains("is no table: write the name"), "{fault}");
        }
    }

    #[test]
    fn the_shadow_keeps_a_ledger_of_its_own() {
        let shadow = config(&[("LEDGER_TABLE", "ledger"), ("SHADOW", "true")]).unwrap();
        assert_eq!(shadow.ledger_table.unwrap().prefix, "shadow#");
    }
}
