#include "gateway/ledger/verify.h"

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/book_tables.h"
#include "gateway/ledger/check.h"
#include "gateway/ledger/schema.h"
#include "gateway/ledger/terms.h"

namespace trib::ledger {

Verdict Check::run() {
  if (!reader_.begin()) {
    fail("store", db_.error());
    return out_;
  }
  out_.ok = schema() && signatures() && batches() && in_place() && all_covered() && cursor() && strays() && book() && periods() && balances() &&
            quantity_totals() && sites() && rated() && journal();
  reader_.end();
  return out_;
}

bool Check::schema() {
  return has_guards(db_) || fail("schema", "a trigger that keeps sealed rows from change is missing");
}

// The commands are sealed; the tables of versions must say the same.
bool Check::book() {
  Statement select = db_.prepare("SELECT " + command_columns + " FROM command WHERE kind IN ('publish_price', 'publish_contract') "
                                 "AND result = 'applied' ORDER BY shard, lsn");
  CommandRow row;
  std::uint64_t prices = 0, contracts = 0;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row);
    if (!published(row, prices, contracts)) return false;
  }
  if (!ended(step, "command")) return false;
  const auto count = [&](const char* sql) {
    Statement counted = db_.prepare(sql);
    return counted.row() ? counted.number<std::uint64_t>() : 0;
  };
  if (count("SELECT count(*) FROM price_book") != prices) return fail("table price_book", "a row that no publication explains");
  return count("SELECT count(*) FROM contract_version") == contracts ||
         fail("table contract_version", "a row that no publication explains");
}

bool Check::published(const CommandRow& row, std::uint64_t& prices, std::uint64_t& contracts) {
  const std::string place = in_batch("command", row.batch) + ", command " + row.id;
  std::string why;
  if (row.kind == "publish_price") {
    const auto price = read_price(row.body);
    if (!price) return fail(place, "not a price");
    if (why = add(book_, *price); !why.empty()) return fail(place, why);
    prices += price_units;
    return price_row(book_.prices[price->model].back());
  }
  const auto contract = read_contract(row.body);
  if (!contract) return fail(place, "not a contract");
  if (why = add(book_, *contract); !why.empty()) return fail(place, why);
  ++contracts;
  return contract_row(book_.contracts[contract->contract].back());
}

bool Check::price_row(const PriceVersion& price) {
  const std::string unit = differing_unit(db_, price);
  return unit.empty() || fail("table price_book, model " + price.model + ", version " + std::to_string(price.version) + ", " + unit,
                              "it is not what was published");
}

bool Check::contract_row(const ContractVersion& contract) {
  return same_row(db_, contract) ||
         fail("table contract_version, contract " + contract.contract + ", version " + std::to_string(contract.version),
              "it is not what was published");
}

// Rows that belong to no batch.
bool Check::strays() {
  for (const char* table : {"usage", "command", "quarantine", "transfer", "leg", "quantity"}) {
    Statement select = db_.prepare(std::string("SELECT count(*) FROM ") + table + " WHERE shard = ?");
    if (!select.reset().bind(shard_).row()) return fail(std::string("table ") + table, db_.error());
    if (select.number<std::uint64_t>() != rows_[table]) return fail(std::string("table ") + table, "a row that belongs to no batch");
  }
  return true;
}

bool Check::balances() {
  Statement select = db_.prepare(
      "SELECT account, period, debit_mu, debit_pf, credit_mu, credit_pf FROM balance WHERE shard = ? ORDER BY account, period");
  select.reset().bind(shard_);
  std::size_t count = 0;
  money::Amount sum;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const std::string account(select.text());
    const auto period = select.number<std::int32_t>();
    const money::Amount debit = select.amount(), credit = select.amount();
    const auto legs = balances_.find({account, period});
    if (select.damaged() || legs == balances_.end() || legs->second.debit != debit || legs->second.credit != credit) {
      return fail("table balance, account " + account + ", period " + std::to_string(period), "it is not the sum of its legs");
    }
    if (account == account_clearing && debit != credit) return fail("table balance, account " + account, "it is not zero");
    sum += debit - credit;
    ++count;
  }
  if (!ended(step, "balance")) return false;
  if (count != balances_.size()) return fail("table balance", "an account with legs has no balance");
  return sum.zero() || fail("table balance", "debits and credits differ");
}

bool Check::sites() {
  Statement select = db_.prepare(
      "SELECT site, period, requests, tokens_input, tokens_cached_input, tokens_cache_write, tokens_output, "
      "tokens_reasoning, gross_mu, gross_pf FROM site_total WHERE shard = ?");
  select.reset().bind(shard_);
  std::size_t count = 0;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const std::string site(select.text());
    const auto period = select.number<std::int32_t>();
    const SiteUse& use = sites_[{site, period}];
    const auto& c = use.counts;
    bool same = true;
    for (const auto n : {use.requests, c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) {
      same &= select.number<std::uint64_t>() == n;
    }
    same &= select.amount() == use.gross;
    if (!same || select.damaged()) return fail("table site_total, site " + site + ", period " + std::to_string(period), "it is not the sum of its requests");
    ++count;
  }
  if (!ended(step, "site_total")) return false;
  return count == sites_.size() || fail("table site_total", "a site with requests has no totals");
}

bool Check::cursor() {
  Statement later = db_.prepare("SELECT max(batch) FROM transfer WHERE shard = ? UNION "
                                "SELECT max(batch) FROM usage WHERE place >= ? AND shard = ? UNION SELECT max(batch) FROM command WHERE shard = ?");
  later.reset().bind(shard_).bind(place_of(shard_, last_.to_lsn + 1)).bind(shard_).bind(shard_);
  while (later.row()) {
    if (later.number<std::uint64_t>() > last_.id) return fail(in_batch("batch", last_.id + 1), "the batch is missing");
  }
  const Lsn stored = reader_.cursor(shard_);
  return stored == last_.to_lsn || fail("table cursor", "it stands at LSN " + std::to_string(stored) + ", the last batch ends at " +
                                                            std::to_string(last_.to_lsn));
}

bool Check::rated() {
  Statement select = db_.prepare("SELECT kind, id, last_ms FROM rated");
  std::size_t count = 0;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const std::string kind(select.text()), id(select.text());
    const auto last = rated_.find({kind, id});
    if (last == rated_.end() || last->second != select.integer()) return fail("table rated, " + kind + " " + id, "it is not the latest request's time");
    ++count;
  }
  if (!ended(step, "rated")) return false;
  return count == rated_.size() || fail("table rated", "a price or a contract that was used is missing");
}

Verdict verify(Reader& reader, std::uint16_t shard, metering::Journal* journal, std::span<const Checkpoint> checkpoints) {
  return Check(reader, shard, journal, checkpoints).run();
}

Verdict verify(const std::string& path, const std::string& vfs, std::uint16_t shard, metering::Journal* journal,
               std::span<const Checkpoint> checkpoints) {
  Verdict out;
  const auto reader = Reader::open(path, vfs, out.why);
  if (reader) return verify(*reader, shard, journal, checkpoints);
  out.place = "store";
  return out;
}

}  // namespace trib::ledger
