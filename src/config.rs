//! Every setting: its name, its meaning, its check.
//!
//! The settings are the environment of the Lambda function. They are read through a function that
//! the binary passes in, all faults are found at once, and no other room knows a setting's name.

use std::fmt;

use jiff::SignedDuration;

use crate::handler::Limits;
use crate::policy::Patterns;

/// The settings of a function.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TOPIC_ARN`: where alerts are published.
    pub topic: Topic,
    /// `APPROVED_REGIONS`: a comma list that overrides the policy's own.
    pub approved_regions: Option<Patterns>,
    /// `WINDOW_MINUTES`: how long the ledger keeps silent about what was told, 1 to 1,440.
    pub window: SignedDuration,
    /// `MAX_MESSAGES`, 2 to 1,000, and `MAX_INFLATED_BYTES`, 1 MiB to 4 GiB.
    pub limits: Limits,
}

/// An SNS topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// The region that it is in, which need not be the function's.
    pub region: String,
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
        let topic = reader.topic();
        let approved_regions = reader.approved_regions();
        let window = reader.number(WINDOW_MINUTES, 60, 1..=1440);
        let defaults = Limits::default();
        let max_messages = reader.number(MAX_MESSAGES, defaults.max_messages as u64, 2..=1000);
        let max_inflated_bytes =
            reader.number(MAX_INFLATED_BYTES, defaults.max_inflated_bytes, 1 << 20..=1 << 32);
        match topic {
            Some(topic) if reader.faults.is_empty() => Ok(Config {
                topic,
                approved_regions,
                window: SignedDuration::from_mins(i64::try_from(window).unwrap_or(60)),
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

    fn topic(&mut self) -> Option<Topic> {
        let Some(arn) = self.get(TOPIC_ARN) else {
            self.fault(TOPIC_ARN, "is not set: it names the SNS topic for alerts".to_owned());
            return None;
        };
        Topic::parse(&arn).map_err(|what| self.fault(TOPIC_ARN, what)).ok()
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

    fn number(
        &mut self,
        name: &'static str,
        default: u64,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> u64 {
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
        assert_eq!(config.topic.region, "eu-west-1");
        assert_eq!(config.window, SignedDuration::from_mins(60));
        assert_eq!(config.limits, Limits::default());
        assert!(config.approved_regions.is_none());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = config(&[
            ("APPROVED_REGIONS", "us-east-1, *"),
            ("WINDOW_MINUTES", "0"),
            ("MAX_MESSAGES", "many"),
        ]);
        let faults = faults.unwrap_err();
        for name in ["TOPIC_ARN: is not set", "APPROVED_REGIONS: `*`", "WINDOW_MINUTES", "MAX_MES"]
        {
            assert!(faults.contains(name), "{name} in {faults}");
        }
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
}
