//! What stands on an invoice beside names and numbers, in the languages of the pages.

/// Of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Language {
    English,
    Spanish,
}

/// Which document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Invoice,
    Receipt,
}

/// Its words.
pub(crate) struct Words {
    pub(crate) code: &'static str,
    pub(crate) invoice: &'static str,
    pub(crate) receipt: &'static str,
    pub(crate) issued: &'static str,
    pub(crate) patient: &'static str,
    pub(crate) visit: &'static str,
    pub(crate) with: &'static str,
    pub(crate) minutes: &'static str,
    pub(crate) no_show: &'static str,
    pub(crate) total: &'static str,
    pub(crate) paid: &'static str,
    pub(crate) refunded: &'static str,
    pub(crate) owed: &'static str,
    pub(crate) estimate: &'static str,
    pub(crate) cancelled: &'static str,
    pub(crate) by_card: &'static str,
    pub(crate) cash: &'static str,
    pub(crate) terminal: &'static str,
    pub(crate) transfer: &'static str,
}

const ENGLISH: Words = Words {
    code: "en",
    invoice: "Invoice",
    receipt: "Receipt",
    issued: "Issued",
    patient: "For",
    visit: "Visit",
    with: "with",
    minutes: "minutes in the call, all participants together",
    no_show: "Reduction: did not come",
    total: "Total",
    paid: "Paid",
    refunded: "Refunded",
    owed: "Due",
    estimate: "An estimate: the minutes are counted after the visit.",
    cancelled: "Cancelled: nothing is due.",
    by_card: "by card online",
    cash: "in cash",
    terminal: "by card at the clinic",
    transfer: "by bank transfer",
};

const SPANISH: Words = Words {
    code: "es",
    invoice: "Factura",
    receipt: "Recibo",
    issued: "Fecha",
    patient: "Para",
    visit: "Visita",
    with: "con",
    minutes: "minutos en la llamada, todos los participantes juntos",
    no_show: "Reducción: no acudió",
    total: "Total",
    paid: "Pagado",
    refunded: "Reembolsado",
    owed: "Pendiente",
    estimate: "Es una estimación: los minutos se cuentan después de la visita.",
    cancelled: "Anulada: no hay nada pendiente.",
    by_card: "con tarjeta en línea",
    cash: "en efectivo",
    terminal: "con tarjeta en la clínica",
    transfer: "por transferencia",
};

impl Language {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::English, Self::Spanish].into_iter().find(|language| language.words().code == text)
    }

    pub(crate) const fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Spanish => &SPANISH,
        }
    }
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "invoice" => Some(Self::Invoice),
            "receipt" => Some(Self::Receipt),
            _ => None,
        }
    }
}
