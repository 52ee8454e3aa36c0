//! `{{ name }}` inside a component's variables.

/// A parsed template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Name(String),
}

/// Not a template.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseTemplateError {
    /// `{{` without `}}`.
    #[error("`{{{{` is not closed")]
    NotClosed,
    /// Not a variable's name.
    #[error("`{0}` is not a variable's name (a-z, 0-9, inner underscores)")]
    Name(String),
}

impl Template {
    /// Parses `text {{ name }} text`.
    pub fn parse(text: &str) -> Result<Self, ParseTemplateError> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(ParseTemplateError::NotClosed)?;
            let name = name.trim();
            if !is_name(name) {
                return Err(ParseTemplateError::Name(name.to_owned()));
            }
            parts.extend((!before.is_empty()).then(|| Part::Text(before.to_owned())));
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Text(rest.to_owned())));
        Ok(Self(parts))
    }

    /// The variables it uses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Fills it in; the first variable without a value is the error.
    pub fn render(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(own) => text.push_str(own),
                Part::Name(name) => text.push_str(&value(name).ok_or(name.as_str())?),
            }
        }
        Ok(text)
    }
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_and_names_what_is_missing() {
        let template = Template::parse("https://{{ zone }}:{{port}}/").unwrap();
        let value = |name: &str| (name == "zone").then(|| "a.b".to_owned());
        assert_eq!(template.render(value), Err("port"));
        assert_eq!(template.render(|_| Some("1".to_owned())).unwrap(), "https://1:1/");
        assert_eq!(Template::parse("plain").unwrap().render(|_| None).unwrap(), "plain");
    }

    #[test]
    fn refuses_what_is_no_template() {
        assert_eq!(Template::parse("{{ a"), Err(ParseTemplateError::NotClosed));
        assert!(matches!(Template::parse("{{ A }}"), Err(ParseTemplateError::Name(_))));
        assert!(matches!(Template::parse("{{}}"), Err(ParseTemplateError::Name(_))));
    }
}
