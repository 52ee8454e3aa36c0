import { locale, type TextKey, t } from '../../i18n/text'

const RESOURCES: Record<string, TextKey> = {
  AllergyIntolerance: 'resource.AllergyIntolerance',
  Appointment: 'resource.Appointment',
  Condition: 'resource.Condition',
  DocumentReference: 'resource.DocumentReference',
  Encounter: 'resource.Encounter',
  HealthcareService: 'resource.HealthcareService',
  Location: 'resource.Location',
  MedicationRequest: 'resource.MedicationRequest',
  Observation: 'resource.Observation',
  Organization: 'resource.Organization',
  Patient: 'resource.Patient',
  Practitioner: 'resource.Practitioner',
  Provenance: 'resource.Provenance',
  Questionnaire: 'resource.Questionnaire',
  QuestionnaireResponse: 'resource.QuestionnaireResponse',
  ServiceRequest: 'resource.ServiceRequest',
  Task: 'resource.Task',
}

/** A type of record in plain words; what we have no words for, by its own name. */
export function resourceText(resource: string): string {
  const key = RESOURCES[resource]
  return key ? (t as (key: TextKey) => string)(key) : resource
}

/** `cruds` in plain words: reading and searching are both seeing. */
export function verbsOf(permissions: string): string {
  const verbs: string[] = []
  if (/[rs]/.test(permissions)) verbs.push(t('verb.see'))
  if (permissions.includes('c')) verbs.push(t('verb.add'))
  if (permissions.includes('u')) verbs.push(t('verb.change'))
  if (permissions.includes('d')) verbs.push(t('verb.delete'))
  return new Intl.ListFormat(locale(), { type: 'conjunction' }).format(verbs)
}
