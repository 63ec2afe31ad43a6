// A simulated quarter through the real journal, poster, store and close:
//   quarter FOLDER SEED REQUESTS-A-MONTH SITES TENANTS
// writes FOLDER/facts.jsonl (what happened) and FOLDER/result.jsonl (what the ledger made of it); oracle.py
// reckons the second from the first. Sealed, verified, and closed month by month with late facts between.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/settlement.h"
#include "tests/quarter/facts.h"
#include "tests/quarter/people.h"
#include "tests/quarter/result.h"

namespace trib::quarter {
namespace {

using ledger::Period;
using money::Amount;

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "quarter: %s\n", why.c_str());
  std::exit(1);
}

class Quarter {
 public:
  Quarter(const std::string& dir, std::uint64_t seed, unsigned sites, unsigned tenants)
      : dir_(dir), rng_(seed), facts_(dir + "/facts.jsonl"), terms_(make_terms(rng_, sites, tenants)) {
    metering::JournalOptions options;
    options.dir = dir + "/journal";
    options.sync_always = true;
    metering::JournalError error;
    journal_ = metering::open_journal(system_disk(), system_clock(), options, error);
    if (!journal_) stop("journal: " + error.why);
    ledger::LedgerOptions store;
    store.path = dir + "/ledger.db";
    store.wait = [this] { journal_->pump(); };
    std::string why;
    ledger_ = ledger::Ledger::open(store, system_clock(), *journal_, why);
    if (!ledger_) stop("store: " + why);
    key_ = settlement::SigningKey::open(system_disk(), dir + "/key.pem", why);
    if (!key_) stop("key: " + why);
  }

  void begin() {
    if (const auto problem = ledger_->publish(terms_.config, january)) stop("publish: " + problem->path + ": " + problem->why);
    for (const auto& model : terms_.config.models)
      for (const auto& price : model.prices) facts_.price(model.id, price);
    for (const auto& contract : terms_.config.contracts) facts_.contract(contract);
    for (const Site& site : terms_.sites) facts_.site(site);
    for (const Site& site : terms_.sites) stand_[site.id] = site.contract;
    assign(january);
    for (const auto& tenant : terms_.tenants) {
      // Most have little, which is soon used up: they pay later.
      const Amount amount = Amount::pico(static_cast<money::int128>(1 + rng_.below(tenant != terms_.tenants[0] && tenant != terms_.tenants[1] && rng_.below(4) == 0 ? 1'000'000'000 : 200'000)) * 1'000'000);
      topup(tenant, "first", amount, january);
    }
    order({"set", {{"name", "item_code"}, {"value", "3040203000000000000"}, {"id", "first"}}}, january);
    order({"set", {{"name", "goodwill_budget"}, {"value", "0.5"}, {"id", "first"}}}, january);
  }

  void serve(std::int64_t ends_ms) {
    metering::Final final = make_request(rng_, terms_, ends_ms);
    const auto book = ledger_->book();
    final.admit.price_version = book->price_at(final.admit.model, final.admit.wall_ms)->version;
    for (auto& attempt : final.attempts) attempt.contract_version = book->contract_at(attempt.contract, attempt.wall_ms)->version;
    if (journal_->append(final) == 0) stop("the journal refuses");
    facts_.request(final);
    people_.saw(final);
    if (++served_ % 5'000 == 0) post();
  }

  // The month's requests in the order in which they ended; the days are uneven.
  void month(Period period, unsigned requests) {
    const auto begin = ledger::period_begin_ms(period), length = ledger::period_end_ms(period) - begin;
    for (unsigned i = 0; i < requests; ++i) {
      const auto share = static_cast<std::int64_t>(i) * length / requests;
      serve(begin + share);
      if (rng_.below(requests) < orders_a_month) {
        post();
        order(people_.next(begin + share), begin + share);
      }
      if (rng_.below(requests) < undone_a_month) {
        post();
        undo(begin + share);
      }
      if (rng_.below(requests) < topups_a_month) {
        const bool large = rng_.below(3) == 0;  // of those that have many requests
        const std::string& tenant = terms_.tenants[rng_.below(large ? 2 : terms_.tenants.size())];
        const Amount amount = Amount::pico(static_cast<money::int128>(1 + rng_.below(large ? 30'000'000 : 500'000)) * 1'000'000);
        topup(tenant, "more-" + std::to_string(i) + "-" + ledger::period_text(period), amount, begin + share);
      }
    }
    serve(begin + length - 1);  // 23:59:59.999
    post();
  }

  // What arrives after its month has closed.
  void late(Period period, unsigned requests) {
    const auto begin = ledger::period_begin_ms(period), length = ledger::period_end_ms(period) - begin;
    for (unsigned i = 0; i < requests; ++i) serve(begin + static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(length))));
    post();
  }

  void close(Period period) {
    const std::int64_t now = ledger::period_end_ms(period) + 4 * ledger::day_ms;
    settlement::explain(*ledger_, "L250/vendor:" + ledger::period_text(period), "the devices are being identified", "ticket 1", now);
    while (true) {
      const auto made = settlement::advance(*ledger_, *key_, period, now, rules_, {});
      if (!made.error.empty()) stop("close: " + made.error);
      if (!made.moved) {
        for (const auto& item : made.items)
          if (!item.fine) stop("close " + ledger::period_text(period) + ": " + item.name + ": " + item.why);
      }
      if (made.state == ledger::PeriodState::stated) break;
    }
    fact("close", period, now);
  }

  void invoice(Period period, std::int64_t now) {
    for (const auto& one : settlement::make_invoices(*ledger_, period, now))
      if (one.result != settlement::Entry::Result::posted) stop("invoices: " + one.why);
    fact("invoice", period, now);
  }

  // A site that nobody asks comes, changes its contract, and goes; each is told when it happens.
  void idle(Period period) {
    const std::int64_t day_9 = ledger::period_begin_ms(period) + 9 * ledger::day_ms;
    const auto& contracts = terms_.config.contracts;
    if (period == 202603) {
      stand_.erase("idle-2");
    } else {
      stand_["idle-" + std::to_string(period % 10)] = contracts[rng_.below(contracts.size())].id;
      stand_["idle-1"] = contracts[rng_.below(contracts.size())].id;
    }
    assign(day_9);
  }

  void pay(Period period) {
    const std::int64_t now = ledger::period_end_ms(period) + 5 * ledger::day_ms;
    std::string why;
    const auto reader = ledger_->reader(why);
    bool returned = false;  // the first one comes back and is paid again
    for (const auto& one : settlement::statements(*reader, period)) {
      if (one.net_payable.zero()) continue;
      order({"payout", {{"statement", one.no}}}, now);
      if (returned) continue;
      returned = true;
      order({"payout-returned", {{"payout", "payout:" + one.no + ":1"}}}, now);
      order({"payout", {{"statement", one.no}, {"id", "again"}}}, now);
    }
    if (!settlement::advance(*ledger_, *key_, period, now, rules_, {}).moved) stop("a month that is paid is not PAID");
  }

  // Sound books export in every form, the lines of each party summed to its statement, and the reports find nothing in them.
  void told(Period period) {
    const std::int64_t now = ledger::period_end_ms(202604) + 6 * ledger::day_ms;
    std::string why;
    const auto reader = ledger_->reader(why);
    const auto stated = settlement::statements(*reader, period);
    settlement::ExportOptions options;
    options.period = ledger::period_text(period);
    const auto make = [&](settlement::Format format, const std::string& party) {
      options.format = format;
      options.party = party;
      if (const auto made = settlement::export_period(*ledger_, options, *key_); !made.error.empty())
        stop("export " + std::to_string(static_cast<int>(format)) + " of " + options.period + " " + party + ": " + made.error);
    };
    for (const auto format : {settlement::Format::csv, settlement::Format::hledger, settlement::Format::beancount}) make(format, {});
    for (std::size_t i = 0; i < stated.size(); i += 1 + stated.size() / 6) make(settlement::Format::csv, stated[i].party);
    settlement::ReportQuestion question;
    question.from_ms = ledger::period_begin_ms(period);
    question.to_ms = ledger::period_end_ms(period);
    question.now_ms = now;
    question.journal = journal_.get();
    std::string partners = "statement,amount,invoice\n";
    for (const auto& one : stated) partners += one.no + "," + one.net_payable.text() + "," + one.net_payable.text() + "\n";
    for (const char* report : {"books", "holds", "quarantine", "unpriced", "margin", "partner"}) {
      question.file.reset();
      if (std::string_view(report) == "partner") question.file = settlement::ReportFile{"partners.csv", partners, {}};
      const auto made = settlement::make_report(*ledger_, report, question);
      const bool losing = std::string_view(report) == "margin" && made->error.empty();  // whose VAT or loser costs more than the platform has
      if (!made->fine() && !losing) stop("report " + std::string(report) + " of " + options.period + ": " + made->error + (made->findings.empty() ? "" : made->findings[0].why));
    }
  }

  void end() {
    if (!ledger_->trial_balance().sum.zero()) stop("the trial balance is not zero");
    std::string why;
    const auto reader = ledger_->reader(why);
    if (!reader || !write_result(*reader, dir_ + "/result.jsonl")) stop("the store cannot be read: " + why);
    const auto audit = settlement::audit_statements(*reader, *ledger_->book());
    if (!audit.ok) stop("verify: " + audit.place + ": " + audit.why);
    const auto verdict = ledger::verify(dir_ + "/ledger.db", "", 0, journal_.get());
    if (!verdict.ok) stop("verify: " + verdict.place + ": " + verdict.why);
  }

 private:
  void assign(std::int64_t wall_ms) {
    if (const auto why = settlement::assign(*ledger_, stand_, wall_ms); !why.empty()) stop(why);
    auto out = json::object();
    out.text("fact", "assigned").integer("wall_ms", wall_ms).key("contracts").open('{');
    for (const auto& [site, contract] : stand_) out.text(site, contract);
    facts_.line(out.close('}').close('}').take());
  }
  void topup(const std::string& tenant, const std::string& id, Amount amount, std::int64_t wall_ms) {
    done("topup", ledger_->topup(tenant, id, amount, wall_ms));
    auto out = json::object();
    out.text("fact", "topup").text("tenant", tenant).text("id", id).raw("pico", std::to_string(static_cast<std::int64_t>(amount.pico())));
    facts_.line(out.integer("wall_ms", wall_ms).close('}').take());
    people_.paid(tenant, id);
    undoable_.push_back("topup:" + tenant + ":" + id);
  }
  void done(const std::string& what, ledger::Posting posting) {
    if (posting != ledger::Posting::posted) stop(what + " was not posted: " + ledger_->failure());
  }
  void fact(const char* name, Period period, std::int64_t wall_ms) {
    auto out = json::object();
    facts_.line(out.text("fact", name).integer("period", period).integer("wall_ms", wall_ms).close('}').take());
  }
  // A whole transfer of an order or a top-up is reversed, once; mostly a late one.
  void undo(std::int64_t wall_ms) {
    if (undoable_.empty()) return;
    const auto at = undoable_.size() - 1 - rng_.below(rng_.below(4) ? std::min<std::size_t>(undoable_.size(), 12) : undoable_.size());
    const std::string id = undoable_[at];
    undoable_.erase(undoable_.begin() + static_cast<std::ptrdiff_t>(at));
    std::string why, number;
    const auto reader = ledger_->reader(why);
    reader->transfers_of(id, [&](const ledger::TransferRow& row) {
      number = std::to_string(row.id);
      return false;
    });
    if (number.empty()) stop("no transfer of " + id);
    order({"reverse-transfer", {{"transfer", number}, {"evidence", "it was an error"}}}, wall_ms, id);
  }
  void order(const settlement::Order& order, std::int64_t wall_ms, const std::string& undoes = {}) {
    using Result = settlement::Entry::Result;
    const auto entry = settlement::enter(*ledger_, order, wall_ms);
    if (entry.result == Result::failed || entry.result == Result::conflict || entry.result == Result::repeated) stop("order " + order.what + ": " + entry.why);
    auto out = json::object();
    out.text("fact", "order").text("what", order.what).integer("wall_ms", wall_ms).boolean("posted", entry.result == Result::posted);
    out.text("document", entry.id).text("undoes", undoes);
    static const std::set<std::string> whole{"penalty", "forfeit", "early-exit", "refund", "payment", "fee", "suspense", "manual"};
    const bool alone = order.what == "goodwill" && !order.args.contains("request");
    if (entry.result == Result::posted && (alone || whole.contains(order.what))) undoable_.push_back(entry.id);
    out.key("args").open('{');
    for (const auto& [name, value] : order.args) {
      out.text(name, value);
      if (name == "at" || (order.what == "reprice" && (name == "from" || name == "to"))) out.text(name + "_ms", std::to_string(*config::parse_date(value)));
    }
    facts_.line(out.close('}').close('}').take());
    people_.told(order, entry.result == Result::posted);
  }
  void post() {
    while (journal_->pump() || ledger_->post_once()) {
    }
    if (!ledger_->failure().empty()) stop("the poster: " + ledger_->failure());
  }

  static constexpr unsigned orders_a_month = 120, topups_a_month = 20, undone_a_month = 15;
  const std::string dir_;
  SeededRng rng_;
  Facts facts_;
  const Terms terms_;
  People people_{rng_, terms_};
  std::map<std::string, std::string> stand_;  // contracts by site
  std::vector<std::string> undoable_;  // documents
  const settlement::CloseRules rules_;
  std::unique_ptr<metering::Journal> journal_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::optional<settlement::SigningKey> key_;
  unsigned served_ = 0;
};

void run(const std::string& dir, std::uint64_t seed, unsigned requests, unsigned sites, unsigned tenants) {
  Quarter quarter(dir, seed, sites, tenants);
  quarter.begin();
  for (const Period period : {202601, 202602, 202603}) {
    quarter.month(period, requests);
    quarter.idle(period);
    quarter.close(period);
    // Every other quarter makes January's invoices a month late.
    if (seed % 2 == 1 || period != 202601) {
      const std::int64_t now = ledger::period_end_ms(period) + 4 * ledger::day_ms;
      if (seed % 2 == 0 && period == 202602) quarter.invoice(202601, now);
      quarter.invoice(period, now);
    }
    quarter.late(period, 1 + requests / 100);
    quarter.pay(period);
  }
  quarter.close(202604);  // the late facts of March; every reserve's days
  quarter.invoice(202604, ledger::period_end_ms(202604) + 4 * ledger::day_ms);
  for (const Period period : {202601, 202602, 202603, 202604}) quarter.told(period);
  quarter.end();
}

}  // namespace
}  // namespace trib::quarter

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: quarter FOLDER SEED REQUESTS-A-MONTH SITES TENANTS\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<unsigned>(std::strtoul(argv[i], nullptr, 10)); };
  std::filesystem::create_directories(argv[1]);
  trib::quarter::run(argv[1], number(2), number(3), number(4), number(5));
}
