// What was spent, asked of the rows themselves: there is no counter that a restart could lose.
#include <map>

#include "gateway/ledger/period.h"
#include "gateway/ledger/reader.h"

namespace trib::ledger {

std::vector<SpentRow> Reader::spent_since(std::int64_t from_ms) {
  // A row is booked in the month in which it ended or in a later one, and few batches touch a month.
  Statement batch = db_.prepare("SELECT shard, from_lsn, to_lsn FROM batch WHERE period_to >= ? ORDER BY shard, id", Rows::many);
  Statement sums = db_.prepare(
      "SELECT tenant, key_hash, (final_ms + 28800000) / 86400000, sum(gross_mu), sum(gross_pf) FROM usage "
      "WHERE place BETWEEN ? AND ? AND final_ms >= ? AND gross_mu IS NOT NULL "
      "GROUP BY tenant, key_hash, (final_ms + 28800000) / 86400000");
  std::map<std::pair<std::int64_t, std::pair<std::string, Sha256>>, money::Amount> found;
  batch.reset().bind(period_of(from_ms));
  Statement::Step step{};
  while ((step = batch.step()) == Statement::Step::row) {
    const auto shard = batch.number<std::uint16_t>();
    const auto from = batch.number<std::uint64_t>(), to = batch.number<std::uint64_t>();
    sums.reset().bind(place_of(shard, from)).bind(place_of(shard, to)).bind(from_ms);
    Statement::Step inner{};
    while ((inner = sums.step()) == Statement::Step::row) {
      std::string tenant(sums.text());
      const Sha256 key = sums.digest();
      const std::int64_t day = sums.integer();
      found[{day, {std::move(tenant), key}}] += sums.sum();
    }
    if (inner == Statement::Step::failed || sums.damaged()) {
      failed("spent");
      return {};
    }
  }
  if (step == Statement::Step::failed) failed("spent");
  std::vector<SpentRow> out;
  for (const auto& [at, amount] : found)
    out.push_back({at.second.first, at.second.second, at.first * day_ms - shanghai_offset_ms, amount});
  return out;
}

}  // namespace trib::ledger
