#include "gateway/ledger/receipt_check.h"

#include <algorithm>
#include <tuple>

#include "gateway/ledger/book.h"
#include "gateway/ledger/period.h"
#include "gateway/ledger/receipt_tables.h"

namespace trib::ledger {
namespace {

using metering::TokenCounts;
using Key = std::tuple<RequestId, std::uint16_t, std::string>;

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t late_ms = 31 * 24 * hour_ms;  // by which a receipt may be old when it comes in
constexpr std::string_view broke_nothing = "none";
constexpr std::uint64_t asked_every = 4096;

std::uint64_t prompt(const TokenCounts& c) { return c.input + c.cached_input + c.cache_write; }
std::uint64_t output(const TokenCounts& c) { return c.output + c.reasoning; }

Quantity quantity_of(const TokenCounts& c) {
  const auto n = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  return {1, n(c.input), n(c.cached_input), n(c.cache_write), n(c.output), n(c.reasoning)};
}

// What a receipt says, class by class. Without tokens it says pieces of text: then of output alone.
Quantity signed_by(const Receipt& receipt) {
  if (receipt.tokens) return quantity_of(*receipt.tokens);
  TokenCounts pieces;
  pieces.output = receipt.pieces;
  return quantity_of(pieces);
}

Quantity pieces_of(const metering::AttemptResult& result) {
  TokenCounts pieces;
  pieces.output = result.pieces;
  return quantity_of(pieces);
}

Quantity less(const Quantity& a, const Quantity& b) {
  Quantity out{};
  for (std::size_t i = 0; i < quantity_classes; ++i) out[i] = a[i] - b[i];
  return out;
}

struct Kept {
  Receipt receipt;
  std::string root;
  std::int64_t came_ms = 0;
};

class Comparison {
 public:
  Comparison(Reader& reader, const MeterQuestion& question) : reader_(reader), ask_(question) {}
  MeterReport run();

 private:
  bool take(const CommandRow& row);
  void look(const RequestRow& request);
  void judge(const RequestRow& request, const AttemptRow& attempt, const Kept* kept);
  void left_over(const Key& key, const Kept& kept);
  bool add(MeterLine line);  // whether it is explained
  void apart(std::int64_t at_ms, const std::string& site, const std::string& model, const Quantity& more);
  MeterSum& sum(const std::string& site, const std::string& model) { return out_.sums[{site, model}]; }
  bool early(std::int64_t at_ms) const { return at_ms + ask_.waiting_ms > ask_.now_ms; }
  bool dials_in(const std::string& site) const { return ask_.dials_in && ask_.dials_in(site); }
  bool lower_holds(const AttemptRow& attempt) const;

  Reader& reader_;
  const MeterQuestion& ask_;
  std::map<Key, Kept> receipts_;
  MeterReport out_;
  std::uint64_t looked_ = 0;
  bool going_on_ = true;
};

MeterReport Comparison::run() {
  bool fits = true;
  const bool read = receipt_commands_since(reader_, ask_.from_ms, [&](const CommandRow& row) { return fits = take(row); });
  if (!fits) {
    if (out_.error.empty()) out_.error = "more than " + std::to_string(ask_.receipts_max) + " receipts: ask for single days";
    return std::move(out_);
  }
  if (!read || !requests_minted(reader_, ask_.from_ms, ask_.to_ms, [&](const RequestRow& row) {
        look(row);
        return ++looked_ % asked_every != 0 || !ask_.go_on || (going_on_ = ask_.go_on());
      })) {
    out_.error = "the store cannot be read";
    return std::move(out_);
  }
  if (!going_on_) {
    out_.error = "given up";
    return std::move(out_);
  }
  for (const auto& [key, kept] : receipts_) left_over(key, kept);
  std::erase_if(out_.apart, [](const auto& one) { return one.second == Quantity{}; });
  return std::move(out_);
}

bool Comparison::take(const CommandRow& row) {
  auto root = read_receipt_root(row.body);
  if (!root) {
    out_.error = "command " + row.id + " is no root of receipts; run tributary audit verify";
    return false;
  }
  for (Receipt& one : root->receipts) {
    // An id that no request of those days can have counts where it came in.
    const std::int64_t minted = minted_ms(one.request);
    const std::int64_t at = minted > row.wall_ms + hour_ms || minted < row.wall_ms - late_ms ? row.wall_ms : minted;
    if (at < ask_.from_ms || at >= ask_.to_ms) continue;
    if (receipts_.size() >= ask_.receipts_max) return false;
    const auto [place, fresh] = receipts_.try_emplace({one.request, one.attempt, root->site}, Kept{one, row.id, row.wall_ms});
    if (fresh) continue;
    MeterLine line;
    line.state = MeterState::twice;
    line.site = root->site;
    line.model = one.model;
    line.request = one.request;
    line.attempt = one.attempt;
    line.at_ms = at;
    line.root = row.id;
    line.signed_ = std::move(one);
    add(std::move(line));
  }
  return true;
}

void Comparison::look(const RequestRow& request) {
  for (const AttemptRow& attempt : request.attempts) {
    const auto found = receipts_.find({request.row.id, attempt.sent.n, attempt.sent.site});
    const bool kept = found != receipts_.end();
    judge(request, attempt, kept ? &found->second : nullptr);
    if (kept) receipts_.erase(found);
  }
}

bool Comparison::lower_holds(const AttemptRow& attempt) const {
  const auto* const contract = ask_.book == nullptr ? nullptr : ask_.book->contract(attempt.sent.contract, attempt.sent.contract_version);
  return contract == nullptr || contract->policies.meters == config::Meters::lower;
}

// An attempt that broke off may have cost the site more than arrived; one that did not has one count.
MeterState verdict(const MeterRule& rule, const AttemptRow& attempt, const TokenCounts& gateway, std::uint64_t pieces, const Receipt& receipt) {
  std::uint64_t ours_in = prompt(gateway), site_in = ours_in, ours_out = pieces, site_out = receipt.pieces;
  if (receipt.tokens) {
    site_in = prompt(*receipt.tokens);
    ours_out = output(gateway);
    site_out = output(*receipt.tokens);
  }
  const bool whole = attempt.result.fault == broke_nothing;
  if (ours_in == site_in && ours_out == site_out) return MeterState::equal;
  const bool in_agrees = rule.agrees(ours_in, site_in), out_agrees = rule.agrees(ours_out, site_out);
  if (in_agrees && out_agrees) return MeterState::within;
  if ((!in_agrees && site_in < ours_in) || (!out_agrees && site_out < ours_out)) return MeterState::less;
  return whole ? MeterState::more : MeterState::within;
}

void Comparison::judge(const RequestRow& request, const AttemptRow& attempt, const Kept* kept) {
  const auto& result = attempt.result;
  const bool delivered = result.pieces > 0 || result.bytes > 0 || result.claimed || attempt.billed.total() > 0;
  const TokenCounts gateway = counted(result, attempt.billed);
  MeterState state = MeterState::unsigned_;
  if (kept != nullptr) {
    state = verdict(ask_.rule, attempt, gateway, result.pieces, kept->receipt);
  } else if (dials_in(attempt.sent.site)) {
    if (!delivered) return;  // refused, or never begun: nothing to sign
    state = early(request.row.final_ms) ? MeterState::waiting : MeterState::no_receipt;
  } else if (!delivered) {
    return;
  }
  MeterSum& into = sum(attempt.sent.site, request.row.model);
  ++into.attempts[static_cast<std::size_t>(state)];
  ledger::add(into.gateway, quantity_of(gateway));
  if (attempt.billed.total() > 0) ledger::add(into.billed, quantity_of(attempt.billed));
  if (kept != nullptr) {
    const Quantity theirs = signed_by(kept->receipt);
    ledger::add(into.site, theirs);
    apart(minted_ms(request.row.id), attempt.sent.site, request.row.model, less(theirs, kept->receipt.tokens ? quantity_of(gateway) : pieces_of(result)));
  } else if (state == MeterState::no_receipt) {
    apart(minted_ms(request.row.id), attempt.sent.site, request.row.model, less({}, quantity_of(gateway)));
  }
  const auto tell = [&](bool confirmed) {
    if (ask_.judged && delivered) ask_.judged(request, attempt, confirmed);
  };
  if (!differs(state)) return tell(state == MeterState::equal || state == MeterState::within);
  MeterLine line;
  line.state = state;
  line.site = attempt.sent.site;
  line.model = request.row.model;
  line.request = request.row.id;
  line.attempt = attempt.sent.n;
  line.at_ms = request.row.admit_ms;
  line.gateway = attempt;
  line.lower = lower_holds(attempt);
  if (kept != nullptr) {
    line.signed_ = kept->receipt;
    line.root = kept->root;
  }
  tell(add(std::move(line)));
}

void Comparison::apart(std::int64_t at_ms, const std::string& site, const std::string& model, const Quantity& more) {
  if (more == Quantity{}) return;
  ledger::add(out_.apart[{day_end_ms(at_ms) - day_ms, site, model}], more);
}

void Comparison::left_over(const Key& key, const Kept& kept) {
  const auto& [request, attempt, site] = key;
  const std::int64_t minted = minted_ms(request);
  const bool plausible = minted <= kept.came_ms + hour_ms && minted >= kept.came_ms - late_ms;
  MeterLine line;
  // A request that still runs, or is not posted yet, has no row.
  line.state = early(kept.came_ms) ? MeterState::waiting : MeterState::no_request;
  line.site = site;
  line.model = kept.receipt.model;
  line.request = request;
  line.attempt = attempt;
  line.at_ms = plausible ? minted : kept.came_ms;
  line.signed_ = kept.receipt;
  line.root = kept.root;
  if (line.state == MeterState::waiting) {
    ++sum(line.site, line.model).attempts[static_cast<std::size_t>(line.state)];
  } else {
    add(std::move(line));
  }
}

bool Comparison::add(MeterLine line) {
  if (line.state == MeterState::no_request || line.state == MeterState::twice) {
    MeterSum& into = sum(line.site, line.model);
    ++into.attempts[static_cast<std::size_t>(line.state)];
    const Quantity theirs = signed_by(*line.signed_);
    ledger::add(into.site, theirs);
    apart(line.at_ms, line.site, line.model, theirs);
  }
  ++out_.differing;
  line.explained = reader_.command("explained:" + line.subject()).has_value() || reader_.command("explained:" + line.day_subject()).has_value();
  if (!line.explained) ++out_.unexplained;
  if (!line.explained && line.lower) ++out_.holding;
  const bool explained = line.explained;
  if (out_.lines.size() < ask_.lines_max) out_.lines.push_back(std::move(line));
  return explained;
}

}  // namespace

bool MeterRule::agrees(std::uint64_t gateway, std::uint64_t site) const {
  const std::uint64_t difference = gateway > site ? gateway - site : site - gateway;
  return difference <= std::max(tokens, std::max(gateway, site) / 1'000'000 * ppm + std::max(gateway, site) % 1'000'000 * ppm / 1'000'000);
}

std::string_view name(MeterState state) {
  static constexpr std::array<std::string_view, meter_states> names{"equal",      "within", "more",    "less",    "no_receipt",
                                                                    "no_request", "twice",  "waiting", "unsigned"};
  return names[static_cast<std::size_t>(state)];
}

bool differs(MeterState state) { return state >= MeterState::more && state <= MeterState::twice; }

std::string MeterLine::subject() const { return "receipt:" + site + ":" + request.text() + "-" + std::to_string(attempt); }
std::string MeterLine::day_subject() const { return "receipts:" + site + ":" + day_text(at_ms); }

std::int64_t minted_ms(const RequestId& id) { return static_cast<std::int64_t>(id.hi >> 16); }

MeterReport compare_meters(Reader& reader, const MeterQuestion& question) { return Comparison(reader, question).run(); }

}  // namespace trib::ledger
