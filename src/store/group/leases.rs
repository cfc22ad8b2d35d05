//! Setting units aside and giving them back.

use super::{Group, Step, Tables};
use crate::domain::lease::{Claims, Wish, grant};
use crate::domain::{Customer, HolderId, Quota};
use crate::store::{Applied, Lease, LeasePart, LeaseRequest, Leased};

impl<T: Tables> Group<T> {
    pub(super) fn lease(&mut self, request: &LeaseRequest) -> Step<T> {
        let LeaseRequest { holder, customer_id, quota, now, wish, urgent } = request;
        let known = self.tables.customer(customer_id)?;
        let customer = known.unwrap_or_else(|| Customer::new(customer_id.clone(), *now));
        let (frame, standing) = match quota {
            Quota::Credit => self.credit_to_lease(&customer, holder, *now)?,
            _ => {
                let frame = self.frame(&customer, *quota, *now);
                (frame, self.standing(&customer, *quota, frame)?)
            }
        };
        let period = frame.period;

        let leases = self.tables.leases(customer_id, *quota, frame.span)?;
        let others = leases.iter().filter(|lease| lease.holder != *holder).count() as u64;
        let claims = Claims { leased: leases.iter().map(|lease| lease.units).sum(), holders: others + 1 };
        let is_here = |lease: &&Lease| lease.holder == *holder && lease.period_start == period.start;
        let elsewhere = claims.leased - leases.iter().filter(is_here).map(|lease| lease.units).sum::<u64>();
        let recalled = self.tables.is_recalled(customer_id, *quota)?;
        let mut granted = match (recalled, urgent) {
            // What is recalled goes to those who wait, and no more of it than they need.
            (true, false) => 0,
            (true, true) => grant(standing, claims, Wish { wanted: 0, ..*wish }),
            (false, _) => grant(standing, claims, *wish),
        };
        if standing.limit.is_some() && granted > 0 {
            let part = LeasePart {
                holder: holder.clone(),
                customer_id: customer_id.clone(),
                quota: *quota,
                period_start: period.start,
                units: granted,
            };
            if !self.tables.set_aside(&part, frame, standing)? {
                granted = 0;
            }
        }
        let in_vain = granted == 0 && elsewhere > 0 && standing.limit.is_some();
        if *urgent && in_vain != recalled {
            self.tables.set_recalled(customer_id, *quota, in_vain)?;
        }
        Ok(Ok(Applied::Leased(Leased { granted, leased_elsewhere: elsewhere, customer, standing, period })))
    }

    pub(super) fn release(&mut self, part: &LeasePart) -> Step<T> {
        self.tables.settle(part)?;
        Ok(Ok(Applied::Returned))
    }

    pub(super) fn return_leases(&mut self, holder: &HolderId) -> Step<T> {
        self.tables.end_leases(holder)?;
        Ok(Ok(Applied::Returned))
    }

    pub(super) fn forget_journal(&mut self, holder: &HolderId) -> Step<T> {
        self.tables.forget_journal(holder)?;
        Ok(Ok(Applied::Returned))
    }
}
