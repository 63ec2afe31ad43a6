#include "gateway/ledger/reader.h"

#include "gateway/ledger/seal.h"

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/schema.h"

namespace trib::ledger {
namespace {

const std::string balance_sums = "sum(debit_mu), sum(debit_pf), sum(credit_mu), sum(credit_pf)";

std::string period_filter(std::optional<Period> period) {
  return period ? " WHERE period = " + std::to_string(*period) : std::string();
}

}  // namespace

std::unique_ptr<Reader> Reader::open(const std::string& path, const std::string& vfs, std::string& why) {
  auto out = std::make_unique<Reader>();
  if (!out->db_.open(path, vfs, Connection::Mode::read, why)) return nullptr;
  if (!check_schema(out->db_, why)) return nullptr;
  return out;
}

bool Reader::failed(const std::string& what) {
  error_ = what + ": " + db_.error();
  return false;
}

metering::Lsn Reader::cursor(std::uint16_t shard) {
  Statement select = db_.prepare("SELECT lsn FROM cursor WHERE shard = ?");
  return select.reset().bind(shard).row() ? select.number<std::uint64_t>() : 0;
}

std::vector<PeriodRow> Reader::periods() {
  std::vector<PeriodRow> out;
  Statement select = db_.prepare("SELECT " + period_columns + " FROM period ORDER BY id");
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) read(select, out.emplace_back());
  if (step == Statement::Step::failed || select.damaged()) failed("period");
  return out;
}

money::Amount Reader::stands(const std::string& account, Period period) {
  Statement select = db_.prepare(stands_sql);
  if (!select.reset().bind(account).bind(period).bind(period == 0 ? 1 : 0).row()) {
    failed("balance");
    return {};
  }
  const money::Amount debit = select.sum();
  return select.sum() - debit;
}

std::optional<Sha256> Reader::seal(Period period) {
  auto out = seal_period(db_, period);
  if (!out) failed("seal");
  return out;
}

bool Reader::commands(std::string_view kind, const std::function<bool(const CommandRow&)>& visit) {
  Statement select = db_.prepare("SELECT " + command_columns + " FROM command WHERE kind = ? ORDER BY shard, lsn");
  select.reset().bind(kind);
  CommandRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row);
    if (select.damaged()) return failed("command");
    if (row.result.compare(0, 7, "refused") != 0 && !visit(row)) return true;
  }
  return step == Statement::Step::done || failed("command");
}

std::vector<TenantBalance> Reader::tenant_balances() {
  std::vector<TenantBalance> out;
  const std::string prefix = customer_account("");
  for (const TrialRow& row : trial_balance().accounts) {
    if (row.account.compare(0, prefix.size(), prefix) != 0) continue;
    out.push_back({row.account.substr(prefix.size()), row.credit_total - row.debit_total});
  }
  return out;
}

TrialBalance Reader::trial_balance(std::optional<Period> period) { return trial(period_filter(period)); }

TrialBalance Reader::trial_balance_after(Period period) { return trial(" WHERE period <= " + std::to_string(period)); }

TrialBalance Reader::trial(const std::string& filter) {
  TrialBalance out;
  Statement select = db_.prepare("SELECT account, " + balance_sums + " FROM balance" + filter +
                                 " GROUP BY account ORDER BY account");
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    TrialRow& row = out.accounts.emplace_back();
    row.account = select.text();
    row.debit_total = select.sum();
    row.credit_total = select.sum();
    const money::Amount net = row.debit_total - row.credit_total;
    (net.negative() ? row.credit : row.debit) = net.negative() ? -net : net;
    out.sum += net;
  }
  if (step == Statement::Step::failed) failed("trial balance");
  return out;
}

bool Reader::decode(Statement& from, RequestRow& out) {
  read(from, out.row);
  auto parts = decode_parts(out.row.parts);
  auto attempts = decode_attempts(out.row.id, out.row.attempts);
  if (from.damaged() || !parts || !attempts) {
    error_ = "request " + out.row.id.text() + ": the row is damaged";
    return false;
  }
  out.parts = std::move(*parts);
  out.attempts = std::move(*attempts);
  out.quarantine.clear();
  if (out.row.state != State::quarantined) return true;
  Statement why = db_.prepare("SELECT reason FROM quarantine WHERE lsn = ? AND subject = ?");
  const std::string subject = out.row.id.text();
  if (why.reset().bind(static_cast<std::int64_t>(out.row.lsn)).bind(subject).row()) out.quarantine = why.text();
  return true;
}

std::optional<RequestRow> Reader::request(const RequestId& id) {
  Statement select = db_.prepare("SELECT " + usage_columns + " FROM usage WHERE request_id = ?");
  const std::string bytes = id_bytes(id);
  if (!select.reset().blob(bytes).row()) return std::nullopt;
  RequestRow out;
  if (!decode(select, out)) return std::nullopt;
  return out;
}

std::vector<SiteTotal> Reader::site_totals(std::optional<Period> period) {
  std::vector<SiteTotal> out;
  Statement select = db_.prepare(
      "SELECT site, sum(requests), sum(tokens_input), sum(tokens_cached_input), sum(tokens_cache_write), "
      "sum(tokens_output), sum(tokens_reasoning), sum(gross_mu), sum(gross_pf) FROM site_total" +
      period_filter(period) + " GROUP BY site ORDER BY site");
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    SiteTotal& total = out.emplace_back();
    total.site = select.text();
    auto& c = total.counts;
    for (auto* n : {&total.requests, &c.input, &c.cached_input, &c.cache_write, &c.output, &c.reasoning}) {
      *n = select.number<std::uint64_t>();
    }
    total.gross = select.sum();
  }
  if (step == Statement::Step::failed) failed("site totals");
  return out;
}

std::vector<QuantityTotal> Reader::quantities(std::optional<Period> period) {
  std::vector<QuantityTotal> out;
  Statement select = db_.prepare(
      "SELECT account, site, model, sum(attempts), sum(tokens_input), sum(tokens_cached_input), sum(tokens_cache_write), "
      "sum(tokens_output), sum(tokens_reasoning) FROM quantity_total" +
      period_filter(period) + " GROUP BY account, site, model ORDER BY account, site, model");
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    QuantityTotal& total = out.emplace_back();
    total.account = select.text();
    total.site = select.text();
    total.model = select.text();
    read(select, total.amount);
  }
  if (step == Statement::Step::failed) failed("quantities");
  return out;
}

std::optional<CommandRow> Reader::command(const std::string& id) {
  Statement select = db_.prepare("SELECT " + command_columns +
                                 " FROM command WHERE shard IN (SELECT shard FROM cursor) AND id = ?");
  if (!select.reset().bind(id).row()) return std::nullopt;
  CommandRow out;
  read(select, out);
  return out;
}

bool Reader::usage(Period period, const std::function<bool(const RequestRow&)>& visit) {
  // Few batches touch a period; the rows of a batch lie side by side.
  Statement batch = db_.prepare("SELECT shard, from_lsn, to_lsn FROM batch WHERE period_from <= ?1 AND period_to >= ?1 ORDER BY shard, id");
  Statement select = db_.prepare("SELECT " + usage_columns + " FROM usage WHERE place BETWEEN ? AND ? AND period = ? ORDER BY place");
  batch.reset().bind(period);
  RequestRow row;
  Statement::Step step{};
  while ((step = batch.step()) == Statement::Step::row) {
    const auto shard = batch.number<std::uint16_t>();
    const auto from = batch.number<std::uint64_t>(), to = batch.number<std::uint64_t>();
    select.reset().bind(place_of(shard, from)).bind(place_of(shard, to)).bind(period);
    Statement::Step inner{};
    while ((inner = select.step()) == Statement::Step::row) {
      if (!decode(select, row)) return false;
      if (!visit(row)) return true;
    }
    if (inner == Statement::Step::failed) return failed("usage");
  }
  return step == Statement::Step::done || failed("usage");
}

bool Reader::transfers(std::optional<Period> period, const std::function<bool(const TransferRow&)>& visit) {
  return walk_transfers(db_.prepare("SELECT shard, " + transfer_columns + " FROM transfer" + period_filter(period) + " ORDER BY shard, id"), visit);
}

bool Reader::adjustments(Period period, const std::function<bool(const TransferRow&)>& visit) {
  Statement select = db_.prepare("SELECT shard, " + transfer_columns + " FROM transfer WHERE period = ? AND code NOT BETWEEN 20 AND 25 ORDER BY shard, id");
  select.reset().bind(period);
  return walk_transfers(std::move(select), visit);
}

bool Reader::transfers_of(const std::string& doc_id, const std::function<bool(const TransferRow&)>& visit) {
  Statement select = db_.prepare("SELECT shard, " + transfer_columns + " FROM transfer WHERE doc_id = ? ORDER BY shard, id");
  select.reset().bind(doc_id);
  return walk_transfers(std::move(select), visit);
}

bool Reader::walk_transfers(Statement select, const std::function<bool(const TransferRow&)>& visit) {
  Statement legs = db_.prepare("SELECT account, mu, pf FROM leg WHERE shard = ? AND transfer_id = ? ORDER BY n");
  TransferRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const std::int64_t shard = select.integer();
    read(select, row);
    legs.reset().bind(shard).bind(static_cast<std::int64_t>(row.id));
    while (legs.row()) {
      Leg& leg = row.legs.emplace_back();
      leg.account = legs.text();
      leg.amount = legs.amount();
    }
    if (select.damaged() || legs.damaged()) {
      error_ = "transfer " + std::to_string(row.id) + ": the row is damaged";
      return false;
    }
    if (!visit(row)) return true;
  }
  return step == Statement::Step::done || failed("transfers");
}

bool Reader::batches(const std::function<bool(const BatchRow&)>& visit) {
  Statement select = db_.prepare("SELECT " + batch_columns + " FROM batch ORDER BY shard, id");
  BatchRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row);
    if (!visit(row)) return true;
  }
  return step == Statement::Step::done || failed("batches");
}

bool Reader::batches(std::uint16_t shard, std::uint64_t from, std::uint64_t to,
                     const std::function<bool(const BatchRow&)>& visit) {
  Statement select = db_.prepare("SELECT " + batch_columns + " FROM batch WHERE shard = ? AND id BETWEEN ? AND ? ORDER BY id");
  select.reset().bind(shard).bind(static_cast<std::int64_t>(from)).bind(static_cast<std::int64_t>(to));
  BatchRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row);
    if (!visit(row)) return true;
  }
  return step == Statement::Step::done || failed("batches");
}

bool Reader::quarantine(const std::function<bool(const QuarantineRow&)>& visit) {
  Statement select = db_.prepare("SELECT " + quarantine_columns + " FROM quarantine ORDER BY shard, lsn");
  QuarantineRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row);
    if (!visit(row)) return true;
  }
  return step == Statement::Step::done || failed("quarantine");
}

}  // namespace trib::ledger
