//! What CloudFormation makes of the template: parameters checked, rules asserted, conditions and
//! intrinsic functions worked out, as the CloudFormation guide describes them. Only what the
//! template uses is known; anything else fails the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// A stack with certain parameters.
pub struct Stack {
    /// Logical ids and resources, without those whose condition does not hold.
    pub resources: BTreeMap<String, Value>,
    pub outputs: BTreeMap<String, Value>,
}

/// The template, with `!Ref X` as `{"Ref": "X"}`.
pub fn template() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml");
        let text = fs::read_to_string(path).unwrap();
        json_of(&Yaml::load_from_str(&text).unwrap()[0])
    })
}

/// Parameters without which there is no stack.
pub const LEAST: [(&str, &str); 1] = [("LogGroupName", "aws/trail")];

impl Stack {
    /// The stack that these parameters make; the others have their defaults. `Err` says what a rule
    /// or a parameter's own check says.
    pub fn of(parameters: &[(&str, &str)]) -> Result<Self, String> {
        let template = template();
        let mut values = BTreeMap::new();
        for (name, declared) in entries(&template["Parameters"]) {
            let given = parameters.iter().find(|(given, _)| given == name).map(|given| given.1);
            let default = text(&declared["Default"]);
            if let Some(value) = given {
                admit(name, declared, value)?;
            }
            values.insert(name.clone(), given.map_or_else(|| default.unwrap(), str::to_owned));
        }
        for (name, _) in parameters {
            assert!(values.contains_key(*name), "there is no parameter {name}");
        }
        let scope = Scope { values, template };
        scope.assert_rules()?;
        Ok(scope.stack())
    }

    /// The stack that these parameters make, with a log group if they make or name none.
    pub fn with(parameters: &[(&str, &str)]) -> Self {
        let has_group = parameters.iter().any(|(name, value)| {
            *name == "LogGroupName" || (*name, *value) == ("CreateTrail", "true")
        });
        let least = if has_group { &[] } else { LEAST.as_slice() };
        Self::of(&[least, parameters].concat()).unwrap()
    }

    /// The properties of a resource.
    pub fn properties(&self, id: &str) -> &Value {
        &self.resources.get(id).unwrap_or_else(|| panic!("there is no {id}"))["Properties"]
    }

    /// Ids and properties of the resources of a type.
    pub fn of_type(&self, kind: &str) -> Vec<(&String, &Value)> {
        let resources = self.resources.iter().filter(|(_, resource)| resource["Type"] == kind);
        resources.map(|(id, resource)| (id, &resource["Properties"])).collect()
    }
}

/// The checks of a parameter (CloudFormation guide, "Parameters").
fn admit(name: &str, declared: &Value, value: &str) -> Result<(), String> {
    let refused = || Err(format!("{name} {}", declared["ConstraintDescription"].as_str().unwrap()));
    let number = || value.parse::<f64>().ok();
    let admitted = entries(declared).all(|(key, limit)| match key.as_str() {
        "AllowedValues" => limit.as_array().unwrap().iter().any(|v| text(v).unwrap() == value),
        "AllowedPattern" => jsonschema::is_valid(&json!({"pattern": limit}), &json!(value)),
        "MinValue" => number().is_some_and(|n| n >= limit.as_f64().unwrap()),
        "MaxValue" => number().is_some_and(|n| n <= limit.as_f64().unwrap()),
        "Type" => limit == "String" || (limit == "Number" && number().is_some()),
        "Description" | "Default" | "ConstraintDescription" => true,
        other => panic!("{name} has a {other}"),
    });
    if admitted { Ok(()) } else { refused() }
}

struct Scope {
    values: BTreeMap<String, String>,
    template: &'static Value,
}

impl Scope {
    fn assert_rules(&self) -> Result<(), String> {
        for (_, rule) in entries(&self.template["Rules"]) {
            for assertion in rule["Assertions"].as_array().unwrap() {
                if !self.holds(&assertion["Assert"]) {
                    return Err(text(&assertion["AssertDescription"]).unwrap());
                }
            }
        }
        Ok(())
    }

    fn stack(&self) -> Stack {
        let made = |section: &str| {
            let there =
                entries(&self.template[section]).filter(|(id, _)| self.is_made(section, id));
            there.map(|(id, body)| (id.clone(), self.resolve(body).unwrap())).collect()
        };
        Stack { resources: made("Resources"), outputs: made("Outputs") }
    }

    fn is_made(&self, section: &str, id: &str) -> bool {
        match self.template[section][id].get("Condition") {
            Some(name) => self.condition(name.as_str().unwrap()),
            None => true,
        }
    }

    fn condition(&self, name: &str) -> bool {
        self.holds(self.template["Conditions"].get(name).unwrap_or_else(|| panic!("no {name}")))
    }

    fn holds(&self, condition: &Value) -> bool {
        let (function, operands) = intrinsic(condition).unwrap_or_else(|| panic!("{condition}"));
        let mut each = operands.as_array().into_iter().flatten();
        match function {
            "Condition" => self.condition(operands.as_str().unwrap()),
            "Fn::Equals" => self.resolve(&operands[0]) == self.resolve(&operands[1]),
            "Fn::Not" => !self.holds(&operands[0]),
            "Fn::And" => each.all(|operand| self.holds(operand)),
            "Fn::Or" => each.any(|operand| self.holds(operand)),
            other => panic!("{other} is no condition"),
        }
    }

    /// The value of an expression; `None` is `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        if let Some((function, operands)) = intrinsic(value) {
            return self.call(function, operands);
        }
        match value {
            Value::Array(items) => {
                Some(items.iter().filter_map(|item| self.resolve(item)).collect())
            }
            Value::Object(members) => {
                let members = members.iter();
                let kept = members.filter_map(|(key, v)| Some((key.clone(), self.resolve(v)?)));
                Some(Value::Object(kept.collect::<Map<_, _>>()))
            }
            scalar => Some(scalar.clone()),
        }
    }

    fn call(&self, function: &str, operands: &Value) -> Option<Value> {
        let list = |value: &Value| -> Vec<String> {
            let resolved = self.resolve(value).unwrap();
            resolved.as_array().unwrap().iter().map(|item| text(item).unwrap()).collect()
        };
        let string = |value: &Value| text(&self.resolve(value).unwrap()).unwrap();
        Some(match function {
            "Ref" if operands == "AWS::NoValue" => return None,
            "Ref" => json!(self.reference(operands.as_str().unwrap())),
            "Fn::GetAtt" => json!(self.attribute(operands.as_str().unwrap())),
            "Fn::Sub" => json!(self.substitute(operands)),
            "Fn::If" => {
                let branch = if self.condition(operands[0].as_str().unwrap()) { 1 } else { 2 };
                return self.resolve(&operands[branch]);
            }
            "Fn::Join" => json!(list(&operands[1]).join(operands[0].as_str().unwrap())),
            "Fn::Split" => {
                json!(string(&operands[1]).split(operands[0].as_str().unwrap()).collect::<Vec<_>>())
            }
            "Fn::Select" => {
                json!(list(&operands[1])[text(&operands[0]).unwrap().parse::<usize>().unwrap()])
            }
            other => panic!("{other} is no function"),
        })
    }

    /// What `Ref` gives: the value of a parameter, the name that a log group or a parameter of the
    /// Systems Manager is given, a topic's ARN, and `<Id>` for other resources, which AWS names.
    fn reference(&self, name: &str) -> String {
        if let Some(value) = self.values.get(name) {
            return value.clone();
        }
        let pseudo = match name {
            "AWS::AccountId" => "111122223333",
            "AWS::Partition" => "aws",
            "AWS::Region" => "eu-central-1",
            "AWS::StackName" => "region-watch",
            "AWS::URLSuffix" => "amazonaws.com",
            _ => "",
        };
        if !pseudo.is_empty() {
            return pseudo.to_owned();
        }
        let properties = &self.resource(name)["Properties"];
        let given = ["LogGroupName", "Name"].iter().find_map(|named| properties.get(*named));
        match (self.resource(name)["Type"].as_str().unwrap(), given) {
            ("AWS::Logs::LogGroup" | "AWS::SSM::Parameter", Some(given)) => {
                text(&self.resolve(given).unwrap()).unwrap()
            }
            ("AWS::SNS::Topic", _) => format!("arn:aws:sns:eu-central-1:111122223333:{name}"),
            _ => format!("<{name}>"),
        }
    }

    fn attribute(&self, path: &str) -> String {
        let (id, _) = path.split_once('.').unwrap();
        self.resource(id);
        format!("<{path}>")
    }

    /// A resource that is in this stack; a reference to any other would fail the deployment.
    fn resource(&self, id: &str) -> &Value {
        let resource = self.template["Resources"].get(id);
        let resource = resource.unwrap_or_else(|| panic!("there is no {id}"));
        assert!(self.is_made("Resources", id), "{id} is not made with {:?}", self.values);
        resource
    }

    fn substitute(&self, operands: &Value) -> String {
        let (pattern, own) = match operands {
            Value::Array(both) => (both[0].as_str().unwrap(), both[1].as_object()),
            only => (only.as_str().unwrap(), None),
        };
        let mut pieces = pattern.split("${");
        let mut filled = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let (name, behind) = piece.split_once('}').unwrap();
            filled += &match (name.strip_prefix('!'), own.and_then(|own| own.get(name))) {
                (Some(literal), _) => format!("${{{literal}}}"),
                (None, Some(value)) => text(&self.resolve(value).unwrap()).unwrap(),
                (None, None) if name.contains('.') => self.attribute(name),
                (None, None) => self.reference(name),
            };
            filled += behind;
        }
        filled
    }
}

/// Function and operands, where a value is a call.
fn intrinsic(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (name, operands) = members.iter().next()?;
    let is_condition = name == "Condition" && operands.is_string();
    (name == "Ref" || name.starts_with("Fn::") || is_condition).then_some((name, operands))
}

pub fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().unwrap().iter()
}

/// A scalar as CloudFormation writes it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn json_of(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::Boolean(truth)) => json!(truth),
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(members) => {
            let key = |key: &Yaml<'_>| text(&json_of(key)).unwrap();
            Value::Object(members.iter().map(|(name, v)| (key(name), json_of(v))).collect())
        }
        Yaml::Tagged(tag, inner) => match tag.suffix.as_str() {
            name @ ("Ref" | "Condition") => json!({ name: json_of(inner) }),
            name => json!({ format!("Fn::{name}"): json_of(inner) }),
        },
        other => panic!("{other:?} is in the template"),
    }
}
