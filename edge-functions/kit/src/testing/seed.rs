//! Rows to begin a test with, without the functions that would make them.

use jiff::{SignedDuration, Timestamp};

use super::{Client, World};
use crate::bearer;
use crate::cookies;
use crate::database::{Database as _, DatabaseError, Value};
use crate::fhir::{AppointmentStatus, EncounterStatus};
use crate::ids::{
    AccountId, AppointmentId, ClientId, EncounterId, GrantId, HoldId, HoursId, InvoiceId, PatientId,
    PractitionerId, ProxyId, ServiceId, SessionId, UserId,
};
use crate::params;
use crate::policy::Role;
use crate::secret::Secret;
use crate::sessions;

/// A clinic that is open from 9 to 12 every day, with one doctor and a service of 30 minutes for EUR 60.
#[derive(Clone, Debug)]
pub struct Seeded {
    /// Its name in URLs.
    pub clinic: String,
    /// Who can be booked.
    pub practitioner: PractitionerId,
    /// What can be booked.
    pub service: ServiceId,
    /// The doctor's account.
    pub doctor: UserId,
}

/// A visit that was booked.
#[derive(Clone, Debug)]
pub struct Booked {
    /// Its appointment.
    pub appointment: AppointmentId,
    /// Its encounter.
    pub encounter: EncounterId,
    /// The token of its link.
    pub link: String,
}

impl World {
    /// Sets a clinic up.
    pub async fn seed(&self, clinic: &str, time_zone: &str) -> Seeded {
        let now = self.now();
        let doctor = UserId::new(now).unwrap();
        let (practitioner, service) = (PractitionerId::new(now).unwrap(), ServiceId::new(now).unwrap());
        let rule = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU";
        let sql = "INSERT INTO clinic (clinic, name, time_zone, document_hash, created_at)
                   VALUES (?, 'Test clinic', ?, 'x', ?)";
        self.run(sql, params![clinic, time_zone, now]).await;
        self.seed_user(clinic, doctor, &[Role::Doctor]).await;
        self.run(
            "INSERT INTO practitioner (clinic, id, user, name) VALUES (?, ?, ?, 'Dr Grey')",
            params![clinic, practitioner, doctor],
        )
        .await;
        let hours = HoursId::new(now).unwrap();
        self.run(
            "INSERT INTO opening_hours (clinic, id, practitioner, rrule, opens, closes)
             VALUES (?, ?, ?, ?, '09:00', '12:00')",
            params![clinic, hours, practitioner, rule],
        )
        .await;
        self.run(
            "INSERT INTO service (clinic, id, name, duration_minutes, price_minor, currency)
             VALUES (?, ?, 'Consult', 30, 6000, 'EUR')",
            params![clinic, service],
        )
        .await;
        Seeded { clinic: clinic.to_owned(), practitioner, service, doctor }
    }

    async fn seed_user(&self, clinic: &str, user: UserId, roles: &[Role]) {
        let sql = "INSERT INTO staff_user (clinic, id, username, name, password_hash, created_at)
                   VALUES (?, ?, ?, 'Somebody', 'no password', ?)";
        self.run(sql, params![clinic, user, user.to_string(), self.now()]).await;
        for role in roles {
            let sql = "INSERT INTO staff_role VALUES (?, ?, ?)";
            self.run(sql, params![clinic, user, role.as_str()]).await;
        }
    }

    /// Books the visit that begins at `start`.
    pub async fn seed_visit(&self, seeded: &Seeded, start: &str) -> Booked {
        self.seed_place(seeded, start, 1).await
    }

    /// The same in one of several places of that time.
    pub async fn seed_place(&self, seeded: &Seeded, start: &str, place: u32) -> Booked {
        let (now, clinic) = (self.now(), seeded.clinic.as_str());
        let start: Timestamp = start.parse().unwrap();
        let end = start + SignedDuration::from_mins(30);
        let (hold, patient) = (HoldId::new(now).unwrap(), PatientId::new(now).unwrap());
        let (appointment, encounter) = (AppointmentId::new(now).unwrap(), EncounterId::new(now).unwrap());
        let (practitioner, service) = (seeded.practitioner, seeded.service);
        self.run(
            "INSERT INTO hold (clinic, id, secret_hash, practitioner, service, start_at, end_at, created_at, expires_at,
                               used_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![clinic, hold, [0_u8; 32], practitioner, service, start, end, now, now, now],
        )
        .await;
        self.run(
            "INSERT INTO patient (clinic, id, name, birth_date, email, created_at) VALUES (?, ?, 'Paula Patient', '1980-01-31', 'paula@example.org', ?)",
            params![clinic, patient, now],
        )
        .await;
        self.run(
            "INSERT INTO appointment
               (clinic, id, hold, patient, practitioner, service, start_at, end_at, status, created_at, place)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                clinic,
                appointment,
                hold,
                patient,
                practitioner,
                service,
                start,
                end,
                AppointmentStatus::Booked,
                now,
                place
            ],
        )
        .await;
        let invoice = InvoiceId::new(now).unwrap();
        self.run(
            "INSERT INTO invoice (clinic, id, appointment, status, method, amount_minor, currency, issued_at)
             VALUES (?, ?, ?, 'issued', 'pay-at-clinic', 6000, 'EUR', ?)",
            params![clinic, invoice, appointment, now],
        )
        .await;
        self.run(
            "INSERT INTO encounter (clinic, id, appointment, status, note_version) VALUES (?, ?, ?, ?, 'v0')",
            params![clinic, encounter, appointment, EncounterStatus::Planned],
        )
        .await;
        let link = Secret::new::<16>().unwrap();
        self.run(
            "INSERT INTO invitation VALUES (?, ?, ?, ?)",
            params![clinic, link.hash(), appointment, now],
        )
        .await;
        Booked { appointment, encounter, link: link.reveal().to_owned() }
    }

    /// The token of an app that `user` has let in, or of one by itself.
    pub async fn seed_app(
        &self,
        clinic: &str,
        user: Option<UserId>,
        patient: Option<PatientId>,
        scopes: &str,
    ) -> String {
        let (now, token) =
            (self.now(), format!("{}{}", bearer::PREFIX, Secret::new::<32>().unwrap().reveal()));
        let (client, grant) = (ClientId::new(now).unwrap(), GrantId::new(now).unwrap());
        let sql = "INSERT INTO app_client (clinic, id, name, kind, redirect_uris, scopes, created_at)
                   VALUES (?, ?, 'Some app', 'public', 'https://app.example/back', ?, ?)";
        self.run(sql, params![clinic, client, scopes, now]).await;
        let sql = "INSERT INTO app_grant (clinic, id, client, user, scopes, patient, created_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        self.run(sql, params![clinic, grant, client, user, scopes, patient, now]).await;
        let sql = "INSERT INTO app_access (clinic, token_hash, grant_id, scopes, created_at, expires_at)
                   VALUES (?, ?, ?, ?, ?, ?)";
        let (hash, until) = (Secret::presented(&token).hash(), now + SignedDuration::from_mins(30));
        self.run(sql, params![clinic, hash, grant, scopes, now, until]).await;
        token
    }

    /// The patient of a visit.
    pub async fn patient_of(&self, visit: &Booked) -> PatientId {
        let sql = "SELECT patient FROM appointment WHERE id = ?";
        let rows = self.query(sql, params![visit.appointment]).await;
        rows.first().unwrap().parsed(0, PatientId::parse).unwrap()
    }

    /// Changes rows behind the functions' back.
    pub async fn run(&self, sql: &str, parameters: Vec<Value>) -> u64 {
        self.try_run(sql, parameters).await.unwrap()
    }

    /// The same where the database may refuse.
    pub async fn try_run(&self, sql: &str, parameters: Vec<Value>) -> Result<u64, DatabaseError> {
        self.database.execute(sql, parameters).await
    }
}

impl World {
    /// The account of the patient of seeded visits.
    pub async fn seed_account(&self, clinic: &str) -> AccountId {
        let sql = "INSERT INTO patient_account (clinic, id, email, birth_date, created_at)
                   VALUES (?1, ?2, 'paula@example.org', '1980-01-31', ?3)
                   ON CONFLICT (clinic, email, birth_date) DO NOTHING";
        self.run(sql, params![clinic, AccountId::new(self.now()).unwrap(), self.now()]).await;
        let rows = self.query("SELECT id FROM patient_account WHERE clinic = ?", params![clinic]).await;
        rows[0].parsed(0, AccountId::parse).unwrap()
    }

    /// Somebody who may do all that can be given, for that patient, for a day.
    pub async fn seed_proxy(&self, clinic: &str) -> ProxyId {
        let (account, id) = (self.seed_account(clinic).await, ProxyId::new(self.now()).unwrap());
        let sql = "INSERT INTO related_person (clinic, id, account, name, relationship, email, scopes, token_hash,
                     created_at, ends_at)
                   VALUES (?, ?, ?, 'Petra Parent', 'parent', 'petra@example.org', 'book join read', ?, ?, ?)";
        let token = Secret::new::<16>().unwrap().hash();
        let values =
            params![clinic, id, account, token, self.now(), self.now() + SignedDuration::from_hours(24)];
        self.run(sql, values).await;
        id
    }
}

impl Client<'_> {
    /// Begins a session of that patient, or of who acts for them.
    pub async fn begin_account(&self, proxy: Option<ProxyId>) {
        let (secret, seen_key) = (Secret::new::<32>().unwrap(), [9_u8; 32]);
        let account = self.world.seed_account(&self.clinic).await;
        let sql = "INSERT INTO patient_session (clinic, secret_hash, account, proxy, seen_key, created_at)
                   VALUES (?, ?, ?, ?, ?, ?)";
        let now = self.world.now();
        let values = params![self.clinic.as_str(), secret.hash(), account, proxy, seen_key, now];
        self.world.run(sql, values).await;
        self.set_cookie(cookies::PERSON, &sessions::stamped(secret.reveal(), &seen_key, now));
    }

    /// Signs a new member of staff with `role` in.
    pub async fn sign_in_as(&self, role: Role) -> UserId {
        let user = UserId::new(self.world.now()).unwrap();
        self.world.seed_user(&self.clinic, user, &[role]).await;
        self.begin_session(user).await;
        user
    }

    /// Begins a session of a member of staff that is there.
    pub async fn begin_session(&self, user: UserId) {
        let (secret, seen_key) = (Secret::new::<32>().unwrap(), [9_u8; 32]);
        let sql = "INSERT INTO session (clinic, secret_hash, user, seen_key, created_at, id)
                   VALUES (?, ?, ?, ?, ?, ?)";
        let (now, id) = (self.world.now(), SessionId::new(self.world.now()).unwrap());
        self.world.run(sql, params![self.clinic.as_str(), secret.hash(), user, seen_key, now, id]).await;
        self.set_cookie(cookies::STAFF, &sessions::stamped(secret.reveal(), &seen_key, now));
    }

    /// Begins the session of a visit.
    pub async fn begin_visit(&self, visit: &Booked) {
        self.begin_visit_for(visit, None).await;
    }

    /// The same of who acts for the patient.
    pub async fn begin_visit_for(&self, visit: &Booked, proxy: Option<ProxyId>) {
        let secret = Secret::new::<32>().unwrap();
        let sql = "INSERT INTO visit_session (clinic, secret_hash, appointment, proxy, created_at)
                   VALUES (?, ?, ?, ?, ?)";
        let now = self.world.now();
        let values = params![self.clinic.as_str(), secret.hash(), visit.appointment, proxy, now];
        self.world.run(sql, values).await;
        self.set_cookie(cookies::VISIT, secret.reveal());
    }
}
