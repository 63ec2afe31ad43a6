#include "gateway/ledger/receipt_intake.h"

#include <algorithm>
#include <cstdio>

#include "gateway/base/json.h"
#include "gateway/base/json_writer.h"
#include "gateway/ledger/checkpoint.h"
#include "gateway/ledger/receipt_tables.h"

namespace trib::ledger {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

std::string key_body(const std::string& site, const std::string& key, const std::string& reason) {
  return json::object().text("site", site).text("key", to_hex(key)).text("reason", reason).close('}').take();
}

bool read_key_body(const std::string& body, std::string& site, std::string& key) {
  json::Cursor cursor(body);
  std::string_view name;
  std::string digits;
  if (!cursor.enter_object() || !cursor.next_key(name) || name != "site" || !cursor.read_string(site)) return false;
  if (!cursor.next_key(name) || name != "key" || !cursor.read_string(digits)) return false;
  const auto read = read_digits(digits, 32);
  if (read) key = *read;
  return read.has_value();
}

}  // namespace

std::string receipts_command_id(const ReceiptRoot& root) {
  char digits[21];
  std::snprintf(digits, sizeof digits, "%020llu", static_cast<unsigned long long>(root.number));
  return "receipts:" + root.site + ":" + to_hex(root.key).substr(0, 16) + ":" + digits;
}

std::unique_ptr<ReceiptIntake> ReceiptIntake::open(Ledger& ledger, metering::Journal& journal, Clock& clock, std::string& why) {
  std::unique_ptr<ReceiptIntake> out(new ReceiptIntake(ledger, journal, clock));
  out->reader_ = ledger.reader(why);
  if (out->reader_ == nullptr || !out->load(why)) return nullptr;
  return out;
}

// Where every site stood: the later of its last root under each key and of the keys that were pinned by hand.
bool ReceiptIntake::load(std::string& why) {
  std::map<std::string, metering::Lsn> newest;
  const auto newer = [&](const std::string& site, metering::Lsn lsn) {
    auto& last = newest[site];
    return lsn > last ? (last = lsn, true) : false;
  };
  bool fine = true;
  const bool read = last_receipt_commands(*reader_, [&](const CommandRow& row) {
    std::string site, key;
    if (row.kind == receipts_key_kind) {
      if (fine = read_key_body(row.body, site, key); fine && newer(site, row.lsn)) {
        Head& head = heads_[site] = {};
        head.key = key;
      }
    } else {
      const auto root = read_receipt_root(row.body);
      if (fine = root.has_value(); fine && newer(root->site, row.lsn)) {
        Head& head = heads_[root->site] = {};
        head.key = root->key;
        head.number = head.durable = root->number;
        head.digest = digest(*root);
      }
    }
    if (!fine) why = "command " + row.id + " cannot be read";
    return fine;
  });
  if (!read && why.empty()) why = "reading the receipts: " + reader_->error();
  return read && fine;
}

std::string ReceiptIntake::contradiction(const Head& head, const ReceiptRoot& root) const {
  const std::string n = std::to_string(root.number);
  if (!head.key.empty() && root.key != head.key) return "root " + n + " is signed by key " + to_hex(root.key) + ", pinned is " + to_hex(head.key);
  if (!signature_fits(root)) return "the signature of root " + n + " does not fit";
  if (root.number <= head.number) return {};  // seen by repeated()
  if (root.number != head.number + 1) return "root " + n + " does not come after " + std::to_string(head.number) + ": roots are missing";
  if (root.prev != head.digest) return "root " + n + " is not chained to root " + std::to_string(head.number);
  return {};
}

ReceiptIntake::Result ReceiptIntake::repeated(const ReceiptRoot& root, std::string_view text, std::string& why) {
  const auto row = reader_->command(receipts_command_id(root));
  if (!row) return Result::later;  // on its way into the store
  if (row->body == text) return Result::repeated;
  why = "root " + std::to_string(root.number) + " is another than the one held";
  return Result::refused;
}

bool ReceiptIntake::afford(Head& head, std::int64_t receipts) {
  const std::int64_t now = clock_.mono_ns();
  const std::int64_t passed = head.since_ns == 0 ? 0 : (now - head.since_ns) / (second_ns / per_second);
  if (head.since_ns == 0 || passed > 0) {
    head.allowed = std::min(burst, head.allowed + std::min(passed, burst));
    head.since_ns = now;
  }
  if (head.allowed < receipts) return false;
  head.allowed -= receipts;
  return true;
}

ReceiptIntake::Taken ReceiptIntake::take(const std::string& site, std::string_view text) {
  const auto root = read_receipt_root(text);
  const std::lock_guard lock(mutex_);
  Taken out;
  Head& head = heads_[site];
  if (!root) {
    out.why = "not a root of receipts as an agent writes it";
  } else if (root->site != site) {
    out.why = "a root of another site, " + root->site;
  } else {
    out.why = contradiction(head, *root);
  }
  if (!out.why.empty()) {
    out.result = Result::refused;
  } else if (root->number <= head.number) {
    out.result = repeated(*root, text, out.why);
  } else if (!afford(head, static_cast<std::int64_t>(root->receipts.size()))) {
    out.result = Result::later;
  } else {
    metering::Command command;
    command.id = receipts_command_id(*root);
    command.kind = receipts_kind;
    command.wall_ms = clock_.wall_ms();
    command.body = text;
    const auto lsn = journal_.append(command);
    out.result = lsn == 0 ? Result::later : Result::taken;
    if (lsn != 0) {
      head.key = root->key;
      head.number = root->number;
      head.digest = digest(*root);
      head.on_the_way.emplace_back(root->number, lsn);
      taken_.fetch_add(root->receipts.size());
    }
  }
  if (out.result == Result::refused) refused_.fetch_add(1);
  return out;
}

ReceiptIntake::Held ReceiptIntake::held(const std::string& site) {
  const std::lock_guard lock(mutex_);
  const auto found = heads_.find(site);
  if (found == heads_.end()) return {};
  Head& head = found->second;
  const auto durable = journal_.durable();
  while (!head.on_the_way.empty() && head.on_the_way.front().second <= durable) {
    head.durable = head.on_the_way.front().first;
    head.on_the_way.pop_front();
  }
  return {head.durable, head.on_the_way.empty()};
}

Posting ReceiptIntake::pin(const std::string& site, const std::string& key, const std::string& reason, std::int64_t wall_ms) {
  metering::Command command;
  command.id = "receipts_key:" + site + ":" + to_hex(key);
  command.kind = receipts_key_kind;
  command.wall_ms = wall_ms;
  command.body = key_body(site, key, reason);
  const auto posting = ledger_.submit(command);
  if (posting != Posting::posted) return posting;
  const std::lock_guard lock(mutex_);
  Head& head = heads_[site];
  head = {};
  head.key = key;
  return posting;
}

std::vector<ReceiptIntake::SiteHead> ReceiptIntake::sites() {
  const std::lock_guard lock(mutex_);
  std::vector<SiteHead> out;
  for (const auto& [site, head] : heads_)
    if (!head.key.empty()) out.push_back({site, head.key, head.number});
  return out;
}

}  // namespace trib::ledger
