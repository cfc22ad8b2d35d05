//! A tier: what it costs, what it may use.

use std::collections::BTreeSet;

use super::names::{self, Kind, Names, list, same_currency};
use super::{CatalogPrice, Included, Limit, LimitWindow, Overage, contradiction};
use crate::Result;
use crate::domain::Window;
use crate::domain::cycle::Interval;
use crate::domain::json::Value;
use crate::domain::mistakes::Mistakes;
use crate::domain::{Currency, Decimal};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTier {
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// The id of the tier's price at Stripe.
    pub price_id: Option<String>,
    pub extends: Option<String>,
    /// The length of a billing period.
    pub interval: Interval,
    /// Due for each billing period.
    pub base_amount: Decimal,
    /// What a billing period costs at least, before credits.
    pub minimum_amount: Decimal,
    /// Those of the tiers that it extends too, as all that follows.
    pub features: BTreeSet<String>,
    pub limits: Vec<Limit>,
    pub included: Vec<Included>,
    /// This tier and those that it extends, the nearest first.
    pub lineage: Vec<String>,
    pub(super) place: String,
}

impl CatalogTier {
    const FIELDS: &[&str] = &[
        "id",
        "name",
        "priceId",
        "extends",
        "currency",
        "interval",
        "intervalCount",
        "baseAmount",
        "minimumAmount",
        "features",
        "limits",
        "included",
    ];

    /// The tier alone, without what it extends.
    pub(super) fn read(
        value: &Value<'_>,
        currency: Option<Currency>,
        names: &Names,
        prices: &mut Vec<CatalogPrice>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let object = mistakes.object(value, Self::FIELDS)?;
        let id = mistakes.required(&object, "id", names::id);
        let name = mistakes.optional(&object, "name", Value::string);
        let price_id = mistakes.optional(&object, "priceId", names::id);
        let extends = mistakes.optional(&object, "extends", names.known(Kind::Tier));
        let interval = match object.optional("interval").or(object.optional("intervalCount")) {
            Some(_) => mistakes.value(value, |_| Interval::read(&object)),
            None => Some(Interval::MONTH),
        };
        let base_amount = mistakes.non_negative_or_zero(&object, "baseAmount");
        let minimum_amount = mistakes.non_negative_or_zero(&object, "minimumAmount");
        same_currency(&object, currency, mistakes);
        let features = list(&object, "features", mistakes, |feature, mistakes| {
            mistakes.value(feature, names.known(Kind::Feature))
        });
        let mut limits: Vec<Limit> = Vec::new();
        list(&object, "limits", mistakes, |value, mistakes| {
            let limit = Limit::read(value, names, mistakes)?;
            if limits.iter().any(|other| other.is_alike(&limit)) {
                let what = format!(": there is already a limit on {:?} {}", limit.meter, limit.window);
                mistakes.note(contradiction(value.place(), &what));
            }
            limits.push(limit);
            Some(())
        });
        let tier_id = id.as_deref().unwrap_or_default();
        let mut included: Vec<Included> = Vec::new();
        list(&object, "included", mistakes, |value, mistakes| {
            let units = Included::read(value, tier_id, names, prices, mistakes)?;
            if included.iter().any(|other| other.meter == units.meter) {
                let what = format!(": units of {:?} are already included", units.meter);
                mistakes.note(contradiction(value.place(), &what));
            }
            included.push(units);
            Some(())
        });
        let id = id?;
        Some(Self {
            lineage: vec![id.clone()],
            id,
            name: name?,
            price_id: price_id?,
            extends: extends?,
            interval: interval?,
            base_amount: base_amount?,
            minimum_amount: minimum_amount?,
            features: features.into_iter().collect(),
            limits,
            included,
            place: value.place().to_owned(),
        })
    }

    /// How many units of a meter may be used in a billing period: the hard limit, or the included units where those above
    /// are refused. `None` means without a limit.
    pub fn monthly_limit(&self, meter: &str) -> Option<u64> {
        let blocked = self.included(meter).filter(|included| included.overage == Overage::Block);
        self.limit_a_month(meter, false).into_iter().chain(blocked.map(|included| included.units)).min()
    }

    /// The limit that is told of and never refuses.
    pub fn monthly_soft_limit(&self, meter: &str) -> Option<u64> {
        self.limit_a_month(meter, true)
    }

    /// The hard limits on a meter in windows that are shorter than a billing period.
    pub fn window_limits(&self, meter: &str) -> impl Iterator<Item = (LimitWindow, u64)> {
        let month = LimitWindow::Calendar(Window::Month);
        let of_meter = self.limits.iter().filter(move |limit| limit.meter == meter && !limit.soft);
        of_meter.filter_map(move |limit| Some((limit.window, limit.units?))).filter(move |(window, _)| *window != month)
    }

    pub fn included(&self, meter: &str) -> Option<&Included> {
        self.included.iter().find(|included| included.meter == meter)
    }

    pub(super) fn require_enforceable(&self) -> Result<()> {
        let month = LimitWindow::Calendar(Window::Month);
        if let Some(limit) = self.limits.iter().find(|limit| limit.soft && limit.window != month) {
            let what =
                format!(": nobody is told of a soft limit on {:?} {}: use one a month", limit.meter, limit.window);
            return Err(contradiction(&self.place, &what));
        }
        match self.included.first() {
            Some(Included { meter, .. }) if self.interval != Interval::MONTH => {
                let what = format!(
                    ": units of {meter:?} cannot be included in a tier whose billing period is no month, because usage is \
                     counted by the month: include what a month is to have in a tier by the month, or set a limit a month"
                );
                Err(contradiction(&self.place, &what))
            }
            _ => Ok(()),
        }
    }

    /// That what it asks for its billing period can be told of a month, by which usage is counted.
    pub fn require_due_by_month(&self) -> Result<()> {
        let asks_nothing = self.base_amount.is_zero() && self.minimum_amount.is_zero() && self.included.is_empty();
        if self.interval == Interval::MONTH || asks_nothing {
            return Ok(());
        }
        let what = format!(
            ": recorded usage is priced by the month, and the billing period of {:?} is none, for which its base amount, \
             minimum and included units are: give a tier by the month, or leave them out",
            self.id
        );
        Err(contradiction(&self.place, &what))
    }

    fn limit_a_month(&self, meter: &str, soft: bool) -> Option<u64> {
        let window = LimitWindow::Calendar(Window::Month);
        let is_it = |limit: &&Limit| limit.meter == meter && limit.window == window && limit.soft == soft;
        self.limits.iter().find(is_it)?.units
    }

    /// Takes over what another tier has and this one does not say itself.
    pub(super) fn inherit(&mut self, other: &CatalogTier) {
        self.lineage.push(other.id.clone());
        self.features.extend(other.features.iter().cloned());
        let own = self.limits.len();
        let limits = other.limits.iter().filter(|limit| !self.limits[..own].iter().any(|own| own.is_alike(limit)));
        let limits: Vec<Limit> = limits.cloned().collect();
        self.limits.extend(limits);
        let included = other.included.iter().filter(|units| self.included.iter().all(|own| own.meter != units.meter));
        let included: Vec<Included> = included.map(Included::inherited).collect();
        self.included.extend(included);
    }
}
