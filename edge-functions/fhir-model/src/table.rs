//! The table of all types, as it is generated: data only, so that an instance that lives for one request does not have to read it.

use crate::primitive::Primitive;

/// A type of FHIR: a primitive, a data type, a part of a resource (`Observation.component`) or a resource.
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// By the names of their properties in JSON, in order; a choice stands here once for each type.
    pub(crate) elements: &'static [Element],
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Kind {
    Primitive(Primitive),
    Complex,
    Resource,
}

pub(crate) struct Element {
    /// Its name in JSON.
    pub(crate) json: &'static str,
    /// How much of that is its name in FHIR, where it is a choice (`value` of `valueString`); else 0.
    base: u8,
    ty: u16,
    pub(crate) min: u8,
    /// [`MANY`]: any number.
    pub(crate) max: u8,
    binding: u16,
    targets: u16,
}

/// As `max`: no bound.
pub(crate) const MANY: u8 = 255;

/// The codes that one must be of.
pub(crate) struct Binding {
    /// The value set.
    pub(crate) url: &'static str,
    /// Code and system, in order.
    codes: &'static [(&'static str, u8)],
}

const fn e(json: &'static str, base: u8, ty: u16, min: u8, max: u8, binding: u16, targets: u16) -> Element {
    Element { json, base, ty, min, max, binding, targets }
}

impl Type {
    pub(crate) fn element(&self, json: &str) -> Option<&'static Element> {
        let found = self.elements.binary_search_by(|element| element.json.cmp(json));
        found.ok().and_then(|place| self.elements.get(place))
    }
}

impl Element {
    /// The name of the choice that this is one of.
    pub(crate) fn choice(&self) -> Option<&'static str> {
        (self.base > 0).then(|| &self.json[..self.base.into()])
    }

    pub(crate) fn ty(&self) -> &'static Type {
        &TYPES[usize::from(self.ty)]
    }

    pub(crate) fn binding(&self) -> Option<&'static Binding> {
        usize::from(self.binding).checked_sub(1).map(|place| &BINDINGS[place])
    }

    /// Types that a reference may lead to; none: any.
    pub(crate) fn targets(&self) -> &'static [&'static str] {
        TARGETS[usize::from(self.targets)]
    }
}

impl Binding {
    /// Whether `code` is one of them, of `system` where that matters.
    pub(crate) fn holds(&self, code: &str, system: Option<&str>) -> bool {
        let first = self.codes.partition_point(|(own, _)| *own < code);
        let mut same = self.codes[first..].iter().take_while(|(own, _)| *own == code);
        same.any(|(_, own)| system.is_none_or(|system| SYSTEMS[usize::from(*own)] == system))
    }
}

/// The type of resources of that name.
pub(crate) fn resource(name: &str) -> Option<&'static Type> {
    let place = RESOURCES.binary_search_by(|(own, _)| (*own).cmp(name)).ok()?;
    RESOURCES.get(place).map(|(_, ty)| &TYPES[usize::from(*ty)])
}

/// The elements that a resource of that type must have, by their names in FHIR.
pub fn required(name: &str) -> impl Iterator<Item = &'static str> {
    let elements = resource(name).map_or(&[][..], |ty| ty.elements);
    elements.iter().filter(|element| element.min > 0).map(|element| element.choice().unwrap_or(element.json))
}

/// Whether FHIR R4 has resources of that name.
pub fn is_resource(name: &str) -> bool {
    resource(name).is_some()
}

/// What stands beside a primitive's value, as `_birthDate`.
pub(crate) fn element() -> &'static Type {
    &TYPES[usize::from(ELEMENT)]
}

include!("table.in");
