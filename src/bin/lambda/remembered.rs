//! Where the function remembers what was told: in its own memory, or in a table.

use jiff::SignedDuration;
use regionwatch::aws::{DynamoItems, DynamoLedger, SdkConfig};
use regionwatch::config::LedgerTable;
use regionwatch::ledger::{Decision, InMemoryLedger, Ledger, LedgerError, Sighting, Telling};

/// The ledger that the settings choose.
pub enum Remembered {
    InMemory(InMemoryLedger),
    InTable(DynamoLedger),
}

impl Remembered {
    pub fn new(sdk: &SdkConfig, table: Option<LedgerTable>, window: SignedDuration) -> Self {
        match table {
            None => Remembered::InMemory(InMemoryLedger::new(window)),
            Some(table) => {
                Remembered::InTable(DynamoLedger::new(DynamoItems::new(sdk, table), window))
            }
        }
    }
}

impl Ledger for Remembered {
    async fn record(&self, sighting: Sighting) -> Result<Decision, LedgerError> {
        match self {
            Remembered::InMemory(ledger) => ledger.record(sighting).await,
            Remembered::InTable(ledger) => ledger.record(sighting).await,
        }
    }

    async fn confirm(&self, telling: &Telling) -> Result<(), LedgerError> {
        match self {
            Remembered::InMemory(ledger) => ledger.confirm(telling).await,
            Remembered::InTable(ledger) => ledger.confirm(telling).await,
        }
    }
}
