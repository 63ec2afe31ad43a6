#include "gateway/ledger/reader.h"

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/book_tables.h"
#include "gateway/ledger/schema.h"
#include "gateway/ledger/seal.h"

namespace trib::ledger {
namespace {

std::string period_filter(std::optional<Period> period) {
  return period ? " WHERE period = " + std::to_string(*period) : std::string();
}

void read(Statement& from, TrialRow& to) {
  to.account = from.text();
  to.debit_total = from.sum();
  to.credit_total = from.sum();
  const money::Amount net = to.debit_total - to.credit_total;
  to.debit = to.credit = {};
  (net.negative() ? to.credit : to.debit) = net.negative() ? -net : net;
}

void read(Statement& from, SiteTotal& to) {
  to.site = from.text();
  auto& c = to.counts;
  for (auto* n : {&to.requests, &c.input, &c.cached_input, &c.cache_write, &c.output, &c.reasoning}) *n = from.number<std::uint64_t>();
  to.gross = from.sum();
}

void read(Statement& from, QuantityTotal& to) {
  to.account = from.text();
  to.site = from.text();
  to.model = from.text();
  read(from, to.amount);
}

}  // namespace

std::unique_ptr<Reader> Reader::open(const std::string& address, const std::string& vfs, std::string& why) {
  auto out = std::make_unique<Reader>();
  if (!out->db_.open(address, vfs, Connection::Mode::read, why)) return nullptr;
  if (!check_schema(out->db_, why)) return nullptr;
  return out;
}

bool Reader::begin() {
  if (db_.begin_read()) return true;
  db_.failures().note(db_.error());
  return failed("begin");
}

bool Reader::failed(const std::string& what) {
  error_ = what + ": " + db_.error();
  return false;
}

bool Reader::damaged(const std::string& what) {
  error_ = what + ": the row is damaged";
  db_.failures().note(error_);
  return false;
}

// Reads row after row and shows it, until `visit` returns false. False: the store failed, or `read_row` found
// what this program never wrote; error() tells.
template <class Row, class Read>
bool Reader::each(Statement& select, const std::string& what, const Visit<Row>& visit, const Read& read_row) {
  Row row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    if (!read_row(row)) return false;
    if (!visit(row)) return true;
  }
  return step == Statement::Step::done || failed(what);
}

template <class Row>
bool Reader::walk(Statement select, const std::string& what, const Visit<Row>& visit) {
  return each<Row>(select, what, visit, [&](Row& row) {
    read(select, row);
    return !select.damaged() || damaged(what);
  });
}

template <class Row>
std::vector<Row> Reader::all(Statement select, const std::string& what) {
  std::vector<Row> out;
  walk<Row>(std::move(select), what, [&](const Row& row) {
    out.push_back(row);
    return true;
  });
  return out;
}

metering::Lsn Reader::cursor(std::uint16_t shard) {
  Statement select = db_.prepare("SELECT lsn FROM cursor WHERE shard = ?");
  return select.reset().bind(shard).row() ? select.number<std::uint64_t>() : 0;
}

std::shared_ptr<const Book> Reader::book() { return read_book(db_, error_); }

std::vector<PeriodRow> Reader::periods() {
  return all<PeriodRow>(db_.prepare("SELECT " + period_columns + " FROM period ORDER BY id"), "period");
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

bool Reader::commands(std::string_view kind, const Visit<CommandRow>& visit) {
  Statement select = db_.prepare("SELECT " + command_columns + " FROM command WHERE kind = ? ORDER BY shard, lsn", Rows::many);
  select.reset().bind(kind);
  return walk<CommandRow>(std::move(select), "command", [&](const CommandRow& row) {
    return row.result.compare(0, 7, "refused") == 0 || visit(row);
  });
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
  out.accounts = all<TrialRow>(db_.prepare("SELECT account, sum(debit_mu), sum(debit_pf), sum(credit_mu), sum(credit_pf) FROM balance" + filter +
                                           " GROUP BY account ORDER BY account"),
                               "trial balance");
  for (const TrialRow& row : out.accounts) out.sum += row.debit_total - row.credit_total;
  return out;
}

bool Reader::decode(Statement& from, RequestRow& out) {
  read(from, out.row);
  if (!decode_detail(out.row, out.attempts, out.parts) || from.damaged()) return damaged("request " + out.row.id.text());
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
  const Statement::Step step = select.reset().blob(bytes).step();
  if (step == Statement::Step::failed) failed("request");
  if (step != Statement::Step::row) return std::nullopt;
  RequestRow out;
  if (!decode(select, out)) return std::nullopt;
  return out;
}

std::vector<SiteTotal> Reader::site_totals(std::optional<Period> period) {
  return all<SiteTotal>(db_.prepare("SELECT site, sum(requests), sum(tokens_input), sum(tokens_cached_input), sum(tokens_cache_write), "
                                    "sum(tokens_output), sum(tokens_reasoning), sum(gross_mu), sum(gross_pf) FROM site_total" +
                                    period_filter(period) + " GROUP BY site ORDER BY site"),
                        "site totals");
}

std::vector<QuantityTotal> Reader::quantities(std::optional<Period> period) {
  return all<QuantityTotal>(db_.prepare("SELECT account, site, model, sum(attempts), sum(tokens_input), sum(tokens_cached_input), "
                                        "sum(tokens_cache_write), sum(tokens_output), sum(tokens_reasoning) FROM quantity_total" +
                                        period_filter(period) + " GROUP BY account, site, model ORDER BY account, site, model"),
                            "quantities");
}

std::optional<CommandRow> Reader::command(const std::string& id) {
  Statement select = db_.prepare("SELECT " + command_columns +
                                 " FROM command WHERE shard IN (SELECT shard FROM cursor) AND id = ?");
  const Statement::Step step = select.reset().bind(id).step();
  if (step == Statement::Step::failed) failed("command");
  if (step != Statement::Step::row) return std::nullopt;
  CommandRow out;
  read(select, out);
  if (select.damaged()) return damaged("command " + id), std::nullopt;
  return out;
}

bool Reader::usage(Period period, const Visit<RequestRow>& visit) {
  // Few batches touch a period; the rows of a batch lie side by side.
  Statement batch = db_.prepare("SELECT shard, from_lsn, to_lsn FROM batch WHERE period_from <= ? AND period_to >= ? ORDER BY shard, id", Rows::many);
  Statement select = db_.prepare("SELECT " + usage_columns + " FROM usage WHERE place BETWEEN ? AND ? AND period = ? ORDER BY place");
  batch.reset().bind(period).bind(period);
  bool go_on = true;
  Statement::Step step{};
  while (go_on && (step = batch.step()) == Statement::Step::row) {
    const auto shard = batch.number<std::uint16_t>();
    const auto from = batch.number<std::uint64_t>(), to = batch.number<std::uint64_t>();
    select.reset().bind(place_of(shard, from)).bind(place_of(shard, to)).bind(period);
    const auto show = [&](const RequestRow& row) { return go_on = visit(row); };
    if (!each<RequestRow>(select, "usage", show, [&](RequestRow& row) { return decode(select, row); })) return false;
  }
  return !go_on || step == Statement::Step::done || failed("usage");
}

bool Reader::transfers(std::optional<Period> period, const Visit<TransferRow>& visit) {
  return walk_transfers(transfers_where(period ? "period = " + std::to_string(*period) : "1 = 1", Rows::many), visit);
}

bool Reader::adjustments(Period period, const Visit<TransferRow>& visit) {
  Statement select = transfers_where("period = ? AND code NOT BETWEEN 20 AND 25", Rows::many);
  select.reset().bind(period);
  return walk_transfers(std::move(select), visit);
}

bool Reader::transfers_of(const std::string& doc_id, const Visit<TransferRow>& visit) {
  Statement select = transfers_where("doc_id = ?", Rows::few);
  select.reset().bind(doc_id);
  return walk_transfers(std::move(select), visit);
}

// A row a leg, in order; one row without where a transfer has none.
Statement Reader::transfers_where(const std::string& filter, Rows rows) {
  return db_.prepare("SELECT transfer.shard, leg.account, leg.mu, leg.pf, " + transfer_columns +
                     " FROM transfer LEFT JOIN leg ON leg.shard = transfer.shard AND leg.transfer_id = transfer.id WHERE " + filter +
                     " ORDER BY transfer.shard, transfer.id, leg.n", rows);
}

bool Reader::walk_transfers(Statement select, const Visit<TransferRow>& visit) {
  TransferRow row;
  std::int64_t shard = -1;  // of `row`; -1: none yet
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const std::int64_t of_shard = select.integer();
    std::optional<Leg> leg;
    if (select.is_null()) {
      for (int column = 0; column < 3; ++column) select.skip();
    } else {
      std::string account(select.text());
      leg = Leg{std::move(account), select.amount()};
    }
    const auto id = select.number<std::uint64_t>();
    if (of_shard != shard || id != row.id) {
      if (shard >= 0 && !visit(row)) return true;
      shard = of_shard;
      row.id = id;
      read_after_id(select, row);
    }
    if (leg) row.legs.push_back(std::move(*leg));
    if (select.damaged()) return damaged("transfer " + std::to_string(row.id));
  }
  if (step != Statement::Step::done) return failed("transfers");
  if (shard >= 0) visit(row);
  return true;
}

bool Reader::batches(const Visit<BatchRow>& visit) {
  return walk<BatchRow>(db_.prepare("SELECT " + batch_columns + " FROM batch ORDER BY shard, id", Rows::many), "batches", visit);
}

bool Reader::batches(std::uint16_t shard, std::uint64_t from, std::uint64_t to, const Visit<BatchRow>& visit) {
  Statement select = db_.prepare("SELECT " + batch_columns + " FROM batch WHERE shard = ? AND id BETWEEN ? AND ? ORDER BY id", Rows::many);
  select.reset().bind(shard).bind(static_cast<std::int64_t>(from)).bind(static_cast<std::int64_t>(to));
  return walk<BatchRow>(std::move(select), "batches", visit);
}

bool Reader::quarantine(const Visit<QuarantineRow>& visit) {
  return walk<QuarantineRow>(db_.prepare("SELECT " + quarantine_columns + " FROM quarantine ORDER BY shard, lsn", Rows::many), "quarantine", visit);
}

}  // namespace trib::ledger
