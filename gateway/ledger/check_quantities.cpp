// The quantity ledger: rows against the requests they come from, against zero, and against their sums.
#include "gateway/ledger/check.h"

namespace trib::ledger {

bool Check::quantities(const BatchRow& row, const Quantities& booked, std::vector<Sha256>& leaves) {
  Statement& select = of_shard(quantity_rows_, "SELECT " + quantity_columns + " FROM quantity WHERE shard = ? AND batch = ? ORDER BY n");
  select.bind(static_cast<std::int64_t>(row.id));
  const std::vector<QuantityRow> expected = booked.rows(shard_, row.id);
  std::size_t count = 0;
  QuantityRow kept;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, kept);
    const std::string place = in_batch("quantity", row.id) + ", row " + std::to_string(kept.n);
    if (select.damaged()) return fail(place, "a value that was never written");
    if (kept.n > count + 1 && count < expected.size())
      return fail(in_batch("quantity", row.id) + ", row " + std::to_string(count + 1), "the row is not where it was written");
    if (leaf_of(kept, shard_) != kept.leaf) return fail(place, "the row differs from its leaf");
    if (count >= expected.size() || expected[count].leaf != kept.leaf) return fail(place, "it is not what the batch's requests book");
    add(quantities_[{kept.account, kept.site, kept.model, kept.period}], kept.amount);
    leaves.push_back(kept.leaf);
    ++rows_["quantity"];
    ++count;
  }
  if (!ended(step, "quantity")) return false;
  quantities_begun_ |= count > 0;
  // Batches from before there was this ledger have none.
  return !quantities_begun_ || count == expected.size() ||
         fail(in_batch("quantity", row.id) + ", row " + std::to_string(count + 1), "the row is missing");
}

bool Check::quantity_totals() {
  Statement select = db_.prepare("SELECT " + quantity_total_columns + " FROM quantity_total WHERE shard = ?");
  select.reset().bind(shard_);
  std::size_t count = 0;
  Quantity sum{};
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const std::string account(select.text()), site(select.text()), model(select.text());
    const auto period = select.number<std::int32_t>();
    Quantity amount{};
    read(select, amount);
    const auto rows = quantities_.find({account, site, model, period});
    if (select.damaged() || rows == quantities_.end() || rows->second != amount) {
      return fail("table quantity_total, account " + account + ", site " + site + ", model " + model + ", period " + std::to_string(period),
                  "it is not the sum of its rows");
    }
    add(sum, amount);
    ++count;
  }
  if (!ended(step, "quantity_total")) return false;
  if (count != quantities_.size()) return fail("table quantity_total", "an account with rows has no total");
  return sum == Quantity{} || fail("table quantity_total", "what was produced is not what was consumed and wasted");
}

}  // namespace trib::ledger
