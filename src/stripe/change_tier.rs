//! A subscription's way from one tier to another.

use stripe_billing::{
    subscription::{UpdateSubscription, UpdateSubscriptionItems, UpdateSubscriptionProrationBehavior},
    subscription_item::ListSubscriptionItem,
};

use super::{
    Call, CallOptions, Result, StripeService,
    objects::{List, Subscription, SubscriptionItem},
};
use crate::{Code, Error, domain::customer::validate_id};

/// More items than a subscription may have.
const ALL_ITEMS: i64 = 100;

impl StripeService {
    /// Gives the one item that has a price of a tier the price `price_id`, and leaves its id, its quantity and all other
    /// items alone. A subscription that has this price already is answered as it is, and nothing is sent.
    ///
    /// `tier_prices` are those of all tiers. Fails with [`Code::StripeTierNotFound`] if no item has one of them, or
    /// several do.
    pub async fn change_tier(
        &self,
        subscription_id: &str,
        price_id: &str,
        tier_prices: &[String],
        proration_behavior: Option<&str>,
        options: CallOptions,
    ) -> Result<String> {
        validate_id("priceId", price_id)?;
        let proration_behavior = proration_behavior.map(parse_proration_behavior).transpose()?;
        // A read has no use for the key of the change.
        let reading = CallOptions { idempotency_key: None, ..options.clone() };
        let response = self.retrieve_subscription(subscription_id, reading.clone()).await?;
        let subscription: Subscription = response.read("a subscription")?;
        let further;
        let items = if subscription.items().has_more {
            further = self.list_items(subscription_id, reading).await?;
            &further
        } else {
            subscription.items()
        };
        let item = only_tier_item(subscription_id, items, tier_prices)?;
        if item.price_id() == Some(price_id) {
            return Ok(response.into_json());
        }
        let mut update = UpdateSubscriptionItems::new();
        update.id = Some(item.id.clone());
        update.price = Some(price_id.to_owned());
        // Left out, it would become 1.
        update.quantity = item.quantity;
        let mut request = UpdateSubscription::new(subscription_id).items(vec![update]);
        if let Some(behavior) = proration_behavior {
            request = request.proration_behavior(behavior);
        }
        Ok(self.client.call(Call::new(&request).with(options)).await?.into_json())
    }

    async fn list_items(&self, subscription_id: &str, options: CallOptions) -> Result<List<SubscriptionItem>> {
        let request = ListSubscriptionItem::new(subscription_id).limit(ALL_ITEMS);
        self.client.call(Call::new(&request).with(options)).await?.read("a list of subscription items")
    }
}

fn only_tier_item<'a>(
    subscription_id: &str,
    items: &'a List<SubscriptionItem>,
    tier_prices: &[String],
) -> crate::Result<&'a SubscriptionItem> {
    let has_tier_price =
        |item: &&SubscriptionItem| item.price_id().is_some_and(|price| tier_prices.iter().any(|other| other == price));
    let mut found = items.data.iter().filter(has_tier_price);
    match (found.next(), found.next()) {
        (Some(item), None) => Ok(item),
        (first, _) => {
            let prices: Vec<_> = items.data.iter().filter_map(SubscriptionItem::price_id).collect();
            let which = if first.is_some() { "several items have" } else { "no item has" };
            Err(Error::new(
                Code::StripeTierNotFound,
                format!(
                    "Of subscription {subscription_id} {which} the price of a tier. Its prices are {prices:?}, those of \
                     the tiers {tier_prices:?}. Mend the tiers' `priceId`, or change the subscription with `raw`"
                ),
            ))
        }
    }
}

fn parse_proration_behavior(text: &str) -> crate::Result<UpdateSubscriptionProrationBehavior> {
    match text {
        "always_invoice" => Ok(UpdateSubscriptionProrationBehavior::AlwaysInvoice),
        "create_prorations" => Ok(UpdateSubscriptionProrationBehavior::CreateProrations),
        "none" => Ok(UpdateSubscriptionProrationBehavior::None),
        _ => Err(Error::invalid(format!(
            "`prorationBehavior` must be \"always_invoice\", \"create_prorations\" or \"none\", got {text:?}"
        ))),
    }
}
