#include "gateway/ledger/seal.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gateway/ledger/bytes.h"

namespace trib::ledger {
namespace {

constexpr std::uint8_t format_version = 1;

// Each row's bytes, its key first; sorted here, because engines order text differently.
template <class Read>
bool add_rows(Connection& db, const char* sql, Period period, ByteWriter& out, const Read& read_row) {
  Statement select = db.prepare(sql);
  if (!select) return false;
  select.reset().bind(period);
  std::vector<std::string> rows;
  ByteWriter row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    row.clear();
    read_row(select, row);
    rows.emplace_back(row.written());
  }
  if (step == Statement::Step::failed) return false;
  std::sort(rows.begin(), rows.end());
  out.fixed(static_cast<std::uint64_t>(rows.size()));
  for (const std::string& one : rows) out.text(one);
  return true;
}

void sums(Statement& from, ByteWriter& w, int count) {
  for (int i = 0; i < count; ++i) w.fixed(from.integer());
}

}  // namespace

std::optional<Sha256> seal_period(Connection& db, Period period) {
  ByteWriter w;
  w.fixed(format_version);
  w.text("period");
  w.fixed(period);
  const bool read = add_rows(db, "SELECT account, sum(debit_mu), sum(debit_pf), sum(credit_mu), sum(credit_pf) FROM balance WHERE period = ? GROUP BY account",
                             period, w, [](Statement& from, ByteWriter& row) {
                               row.text(from.text());
                               row.amount(from.sum());
                               row.amount(from.sum());
                             }) &&
                    add_rows(db, "SELECT site, sum(requests), sum(tokens_input), sum(tokens_cached_input), sum(tokens_cache_write), "
                                 "sum(tokens_output), sum(tokens_reasoning), sum(gross_mu), sum(gross_pf) FROM site_total WHERE period = ? GROUP BY site",
                             period, w, [](Statement& from, ByteWriter& row) {
                               row.text(from.text());
                               sums(from, row, 6);
                               row.amount(from.sum());
                             }) &&
                    add_rows(db, "SELECT account, site, model, sum(attempts), sum(tokens_input), sum(tokens_cached_input), sum(tokens_cache_write), "
                                 "sum(tokens_output), sum(tokens_reasoning) FROM quantity_total WHERE period = ? GROUP BY account, site, model",
                             period, w, [](Statement& from, ByteWriter& row) {
                               for (int i = 0; i < 3; ++i) row.text(from.text());
                               sums(from, row, 6);
                             });
  if (!read) return std::nullopt;
  return sha256(w.written());
}

}  // namespace trib::ledger
