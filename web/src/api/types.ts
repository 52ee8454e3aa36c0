import type { components, paths } from './schema'

type Method = 'get' | 'post' | 'put'
type Json<Content> = Content extends { content: { 'application/json': infer Body } } ? Body : never

/** Body of the successful answer of an operation, as docs/openapi.yaml has it. */
export type Answer<Path extends keyof paths, M extends Method & keyof paths[Path]> = paths[Path][M] extends {
  responses: infer Responses
}
  ? Json<Responses[keyof Responses & (200 | 201)]>
  : never

export type Clinic = Answer<'/c/{clinic}/scheduling/clinic', 'get'>
export type Service = Clinic['services'][number]
export type Practitioner = Clinic['practitioners'][number]
export type Slot = Answer<'/c/{clinic}/scheduling/slots', 'get'>['slots'][number]
/** The problem document of a hold that came too late. */
export type SlotTaken = components['schemas']['SlotTaken']
export type Hold = Answer<'/c/{clinic}/scheduling/holds', 'post'>
export type Confirmation = Answer<'/c/{clinic}/payments/confirmations', 'post'>
export type CardPayment = components['schemas']['CardPayment']
export type PaymentOptions = components['schemas']['PaymentOptions']
export type BooksInvoice = components['schemas']['BooksInvoice']
export type PaymentReport = components['schemas']['PaymentReport']
export type PaymentSettings = components['schemas']['PaymentSettings']
export type Visit = Answer<'/c/{clinic}/scheduling/visit', 'get'>
export type Guests = Answer<'/c/{clinic}/scheduling/appointments/{id}/guests', 'get'>
export type Guest = Guests['guests'][number]
export type Session = Answer<'/c/{clinic}/auth/session', 'get'>
export type DayList = Answer<'/c/{clinic}/scheduling/appointments', 'get'>
export type Appointment = DayList['appointments'][number]
export type VisitIntake = components['schemas']['VisitIntake']
export type VisitConsent = components['schemas']['VisitConsent']
export type Encounter = Answer<'/c/{clinic}/records/encounters/{id}', 'get'>
export type Message = Answer<'/c/{clinic}/messages/outbox', 'get'>['messages'][number]
export type MessageWork = Answer<'/c/{clinic}/messages/work', 'get'>['messages'][number]
export type ThreadMessage = components['schemas']['Thread']['messages'][number]
/** How somebody is written to. */
export type Contact = Answer<'/c/{clinic}/messages/visit-contact', 'get'>
/** The same, for front desk. */
export type PatientContact = Answer<'/c/{clinic}/messages/appointments/{id}/contact', 'get'>
export type Recall = Answer<'/c/{clinic}/messages/recalls', 'get'>['recalls'][number]
export type MessageSettings = components['schemas']['MessageSettings']
export type SignInStep = components['schemas']['SignInStep']
export type Factor = NonNullable<SignInStep['factors']>[number]
export type StaffMember = components['schemas']['StaffMember']
export type AuditEvent = components['schemas']['AuditEvent']
export type AuditSource = components['schemas']['AuditSources'][number]
export type ReviewItem = components['schemas']['ReviewList']['items'][number]
export type Oversight = components['schemas']['Oversight']
export type RecordAccess = components['schemas']['RecordAccess']
export type CertifiedPerson = components['schemas']['Recertification']['people'][number]
export type PatientSession = components['schemas']['PatientSession']
export type OwnVisit = components['schemas']['OwnVisits']['visits'][number]
export type PatientProxy = components['schemas']['Proxy']
export type NewProxy = components['schemas']['NewProxy']
export type SetUp = components['schemas']['SetUp']
export type SetUpBundle = components['schemas']['SetUpBundle']
export type SetUpOutcome = components['schemas']['SetUpOutcome']
export type Settings = components['schemas']['Settings']
export type Approval = components['schemas']['Approvals']['approvals'][number]
export type AskedFor = components['schemas']['AskedFor']
export type FoundPatient = components['schemas']['FoundPatient']
export type RegisteredApp = components['schemas']['App']
