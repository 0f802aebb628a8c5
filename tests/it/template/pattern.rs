//! Filter patterns for JSON, evaluated as the CloudWatch Logs guide says ("Filter pattern syntax"),
//! as far as the patterns of the template and of `policy pattern` go.

use serde_json::Value;

/// Whether a record matches. `Err` has the rest of a pattern that is none.
pub fn matches(pattern: &str, record: &Value) -> Result<bool, String> {
    let inner = pattern.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut reader = Reader { rest: inner.ok_or(pattern)?.trim(), record };
    let found = reader.either()?;
    if reader.rest.is_empty() { Ok(found) } else { Err(reader.rest.to_owned()) }
}

struct Reader<'p> {
    rest: &'p str,
    record: &'p Value,
}

impl<'p> Reader<'p> {
    fn takes(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest.trim_start();
        true
    }

    /// `&&` binds closer than `||`.
    fn either(&mut self) -> Result<bool, String> {
        let mut found = self.both()?;
        while self.takes("||") {
            found |= self.both()?;
        }
        Ok(found)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut found = self.term()?;
        while self.takes("&&") {
            found &= self.term()?;
        }
        Ok(found)
    }

    fn term(&mut self) -> Result<bool, String> {
        if self.takes("(") {
            let found = self.either()?;
            return if self.takes(")") { Ok(found) } else { Err(self.rest.to_owned()) };
        }
        let field = self.selected()?;
        if self.takes("NOT EXISTS") {
            return Ok(field.is_none());
        }
        if self.takes("IS FALSE") {
            return Ok(field == Some(&Value::Bool(false)));
        }
        if self.takes("IS NULL") {
            return Ok(field == Some(&Value::Null));
        }
        let negated = self.takes("!=");
        if !negated && !self.takes("=") {
            return Err(self.rest.to_owned());
        }
        if let (false, Some(behind)) = (negated, self.rest.strip_prefix('%')) {
            let (wanted, rest) = behind.split_once('%').ok_or(self.rest)?;
            self.rest = rest.trim_start();
            let text = field.and_then(Value::as_str);
            return Ok(text.is_some_and(|text| wanted.split('|').any(|part| text.contains(part))));
        }
        let wanted = self.quoted()?;
        // "If it points to an array or object, the filter will not be applied"; nor to what is not there.
        Ok(field.and_then(Value::as_str).is_some_and(|text| is_like(text, &wanted) != negated))
    }

    fn selected(&mut self) -> Result<Option<&'p Value>, String> {
        let behind = self.rest.strip_prefix("$.").ok_or(self.rest)?;
        let end = behind.find(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
        let (name, rest) = behind.split_at(end.unwrap_or(behind.len()));
        self.rest = rest.trim_start();
        Ok(self.record.get(name))
    }

    fn quoted(&mut self) -> Result<String, String> {
        let behind = self.rest.strip_prefix('"').ok_or(self.rest)?;
        let (text, rest) = behind.split_once('"').ok_or(self.rest)?;
        self.rest = rest.trim_start();
        Ok(text.to_owned())
    }
}

/// `*` stands for any text at the beginning and at the end; anywhere else it is itself.
fn is_like(text: &str, wanted: &str) -> bool {
    match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
        (Some(_), Some(_)) => text.contains(wanted.trim_matches('*')),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => text == wanted,
    }
}
