// The subcommands of what can be proved: verification, proofs and their check, checkpoints, copies.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "gateway/app/command_line.h"
#include "gateway/app/commands.h"
#include "gateway/app/gateway.h"
#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/ledger/ledger.h"
#include "gateway/metering/metering.h"
#include "gateway/settlement/settlement.h"

namespace trib::app {
namespace {

namespace bj = boost::json;

constexpr std::uint64_t file_bytes_max = 64u << 20;
constexpr const char* audit_words =
    "audit verify [--config FILE] | audit prove REQUEST|transfer:N --out FILE | audit check FILE [--key PUB] [--held FILE] | "
    "audit checkpoints [--out FILE]";

bj::value text_or_null(const std::string& text) { return text.empty() ? bj::value(nullptr) : bj::value(text); }

int print_verdict(const settlement::BooksVerdict& verdict) {
  if (verdict.ok) {
    std::cout << "ok: " << verdict.requests << " requests in " << verdict.batches << " batches under " << verdict.checkpoints
              << " signed checkpoints, every row, batch and balance as sealed, " << verdict.statements << " statements as their rows give them\n";
    return 0;
  }
  std::cout << "differs at " << verdict.place << ": " << verdict.why << '\n';
  return 1;
}

// The configuration of a gateway that is not running, its data locked; null: told, with the exit code.
std::shared_ptr<const config::ConfigSnapshot> stopped(const Call& call, const char* instead, int& code) {
  std::shared_ptr<const config::ConfigSnapshot> config;
  try {
    config = config::load_gateway(call.get("--config"), [](const char* name) -> const char* { return std::getenv(name); });
  } catch (const config::ConfigError& error) {
    std::cerr << error.what() << std::endl;
    code = 2;
    return nullptr;
  }
  if (lock_data(config->gateway.data)) return config;
  code = failed("a gateway is running on " + config->gateway.data + "; ask it with `tributary " + instead + "` without --config");
  return nullptr;
}

int verify_offline(const Call& call) {
  int code = 0;
  const auto config = stopped(call, "audit verify", code);
  if (config == nullptr) return code;
  metering::JournalOptions options;
  options.dir = config->gateway.data + "/journal";
  options.segment_bytes = config->gateway.journal.segment_bytes;
  metering::JournalError error;
  const auto journal = metering::open_journal(system_disk(), system_clock(), options, error);
  if (journal == nullptr)
    return failed("differs at journal " + error.segment + ", record " + std::to_string(error.record) + ": " + error.why);
  std::string text, why;
  std::uint64_t whole = 0;
  const std::string path = config->gateway.data + "/" + checkpoints_name;
  std::optional<std::vector<ledger::Checkpoint>> checkpoints{std::in_place};
  if (const auto ec = read_file(system_disk(), path, text, 1u << 30); !ec) checkpoints = ledger::read_checkpoints(text, whole, why);
  else if (ec != std::errc::no_such_file_or_directory) why = ec.message();
  settlement::BooksVerdict verdict;
  if (!why.empty()) {
    verdict.place = path;
    verdict.why = why;
  } else if (const auto reader = ledger::Reader::open(config->store_path, {}, verdict.why)) {
    verdict = settlement::verify_books(*reader, 0, journal.get(), *checkpoints);
  } else {
    verdict.place = "store";
  }
  if (!call.json()) return print_verdict(verdict);
  std::cout << bj::serialize(bj::object{{"ok", verdict.ok}, {"place", text_or_null(verdict.place)}, {"why", text_or_null(verdict.why)},
                                        {"requests", verdict.requests}, {"batches", verdict.batches},
                                        {"checkpoints", verdict.checkpoints}, {"statements", verdict.statements}}) << '\n';
  return verdict.ok ? 0 : 1;
}

int verify(const Call& call) {
  if (!call.get("--config").empty()) return verify_offline(call);
  const auto reply = ask_gateway(call, "GET", "/admin/v1/audit/verify");
  if (reply.status != 200) return failed(error_of(reply));
  const auto value = bj::parse(reply.body).as_object();
  settlement::BooksVerdict verdict;
  verdict.ok = value.at("ok").as_bool();
  if (call.json()) {
    std::cout << reply.body;
    return verdict.ok ? 0 : 1;
  }
  const auto number = [&](const char* name) { return value.at(name).to_number<std::uint64_t>(); };
  verdict.place = cell(value.at("place"));
  verdict.why = cell(value.at("why"));
  verdict.requests = number("requests");
  verdict.batches = number("batches");
  verdict.checkpoints = number("checkpoints");
  verdict.statements = number("statements");
  return print_verdict(verdict);
}

int prove(const Call& call) {
  const std::string& subject = call.words[2];
  const std::string out = call.get("--out");
  if (out.empty() || subject.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz:") != std::string::npos) return takes(audit_words);
  const auto reply = ask_gateway(call, "GET", "/admin/v1/audit/proof/" + subject);
  if (reply.status != 200) return failed(error_of(reply));
  if (const auto ec = write_file(system_disk(), out, reply.body)) return failed(out + ": " + ec.message());
  std::cout << out << "  " << reply.body.size() << " bytes\n";
  return 0;
}

// 64 hex digits, or a file that holds them, such as the agent's checkpoint.pub; none: neither.
std::optional<std::string> read_key(const std::string& said) {
  if (auto key = ledger::read_digits(said, 32)) return key;
  std::string text;
  if (read_file(system_disk(), said, text, 1024)) return std::nullopt;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return ledger::read_digits(text, 32);
}

struct Checked {
  std::string why;  // empty: it holds
  std::string what;
  std::string public_key;
  std::vector<ledger::Checkpoint> checkpoints;
};

Checked check_checkpoints(const std::string& text, const std::string& pinned) {
  Checked out;
  std::uint64_t whole = 0;
  auto all = ledger::read_checkpoints(text, whole, out.why);
  if (!all) return out;
  if (whole != text.size()) out.why = "the last line is cut short";
  else if (all->empty()) out.why = "no checkpoint stands in it";
  for (const auto& one : *all)
    if (out.why.empty() && !pinned.empty() && one.public_key != pinned)
      out.why = "checkpoint " + std::to_string(one.number) + " is signed by another key than the one given";
  if (!out.why.empty()) return out;
  const auto& last = all->back();
  out.what = "checkpoints " + std::to_string(all->front().number) + " to " + std::to_string(last.number) + " are a chain; the last, of " +
             ledger::time_text(last.made_ms) + ", covers batch " + std::to_string(last.batch_to) + " with hash " + to_hex(last.head);
  out.public_key = last.public_key;
  out.checkpoints = std::move(*all);
  return out;
}

Checked check_one_proof(const std::string& text, const std::string& pinned) {
  Checked out;
  auto check = ledger::check_proof(text, pinned);
  out.why = check.why;
  if (!check.ok()) return out;
  const auto& proof = *check.proof;
  out.what = ledger::subject_of(proof);
  if (const auto* usage = std::get_if<ledger::UsageRow>(&proof.row))
    out.what += " of tenant " + usage->tenant + ", " + (usage->gross ? "charged " + usage->gross->text() + " CNY" : "in quarantine") + ",";
  out.what += " is leaf " + std::to_string(proof.index + 1) + " of " + std::to_string(proof.batch.n) + " in batch " +
              std::to_string(proof.batch.id) + ", under checkpoint " + std::to_string(proof.checkpoint.number) + " of " +
              ledger::time_text(proof.checkpoint.made_ms);
  out.public_key = proof.checkpoint.public_key;
  out.checkpoints = {proof.checkpoint};
  return out;
}

// The site's own checkpoints must hold the one that the proof leads to.
std::string unlike_held(const std::string& path, const ledger::Checkpoint& one) {
  std::string text, why;
  std::uint64_t whole = 0;
  if (const auto ec = read_file(system_disk(), path, text, file_bytes_max)) return path + ": " + ec.message();
  const auto all = ledger::read_checkpoints(text, whole, why);
  if (!all) return path + ": " + why;
  for (const auto& held : *all)
    if (held.number == one.number) return held == one ? "" : "checkpoint " + std::to_string(one.number) + " is another than the one in " + path;
  return path + " does not hold checkpoint " + std::to_string(one.number);
}

int check(const Call& call) {
  const std::string& path = call.words[2];
  std::string pinned;
  if (const auto said = call.get("--key"); !said.empty()) {
    const auto key = read_key(said);
    if (!key) return usage("--key takes a public key of 64 lower-case hex digits, or a file that holds it");
    pinned = *key;
  }
  std::string text;
  if (const auto ec = read_file(system_disk(), path, text, file_bytes_max)) return failed(path + ": " + ec.message());
  const bool lines = text.starts_with("{\"format\":\"tributary-checkpoint/");
  Checked checked = lines ? check_checkpoints(text, pinned) : check_one_proof(text, pinned);
  if (checked.why.empty() && !call.get("--held").empty()) checked.why = unlike_held(call.get("--held"), checked.checkpoints.back());
  const bool ok = checked.why.empty();
  if (call.json()) {
    std::cout << bj::serialize(bj::object{{"ok", ok}, {"what", text_or_null(checked.what)}, {"why", text_or_null(checked.why)},
                                          {"public_key", text_or_null(to_hex(checked.public_key))}, {"pinned", !pinned.empty()}}) << '\n';
  } else if (ok) {
    std::cout << "ok: " << checked.what << ", signed by " << to_hex(checked.public_key) << (pinned.empty() ? " (not pinned)" : "") << '\n';
  } else {
    std::cout << "wrong: " << checked.why << '\n';
  }
  return ok ? 0 : 1;
}

int checkpoints(const Call& call) {
  const std::string out = call.get("--out");
  if (out.empty() && call.json()) return show(call, "GET", "/admin/v1/audit/checkpoints", {});
  std::string lines;
  bj::array rows;
  for (std::uint64_t from = out.empty() ? 0 : 1;;) {  // to a file: all of them
    const auto reply = ask_gateway(call, "GET", "/admin/v1/audit/checkpoints" + (from == 0 ? "" : "?from=" + std::to_string(from)));
    if (reply.status != 200) return failed(error_of(reply));
    const auto value = bj::parse(reply.body).as_object();
    rows = value.at("checkpoints").as_array();
    for (const auto& row : rows) lines += bj::serialize(row) + '\n';
    if (from == 0 || rows.empty()) break;
    from += rows.size();
  }
  if (out.empty()) {
    print_table(rows, {"number", "made_at", "batch_from", "batch_to", "to_lsn", "head"});
    return 0;
  }
  if (const auto ec = write_file(system_disk(), out, lines)) return failed(out + ": " + ec.message());
  std::cout << out << "  " << lines.size() << " bytes\n";
  return 0;
}

void show_progress(std::uint64_t done, std::uint64_t all) {
  if (::isatty(2) == 0 || all == 0) return;
  std::cerr << "\r" << done * 100 / all << " % of " << all << " pages" << (done == all ? "\n" : "") << std::flush;
}

int backup_offline(const Call& call, const std::string& dir) {
  int code = 0;
  const auto config = stopped(call, "backup", code);
  if (config == nullptr) return code;
  ::umask(077);  // as the store
  ledger::BackupOptions options;
  options.store = config->store_path;
  options.dir = dir;
  options.progress = [](std::uint64_t done, std::uint64_t all) {
    show_progress(done, all);
    return true;
  };
  std::string why;
  const auto made = ledger::make_backup(system_disk(), options, system_clock().wall_ms(), why);
  if (!made) return failed(why);
  const std::string record = config->gateway.data + "/" + backup_name;
  if (const auto ec = ledger::remember_backup(system_disk(), record, *made, dir)) return failed(record + ": " + ec.message());
  std::cout << dir << "  LSN " << made->lsn << ", batch " << made->batch << ", " << made->bytes << " bytes\n";
  return 0;
}

}  // namespace

int audit(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "";
  if (what == "verify" && call.words.size() == 2) return verify(call);
  if (what == "prove" && call.words.size() == 3) return prove(call);
  if (what == "check" && call.words.size() == 3) return check(call);
  if (what == "checkpoints" && call.words.size() == 2) return checkpoints(call);
  return takes(audit_words);
}

int backup(const Call& call) {
  if (call.get("--out").empty()) return takes("backup --out DIR [--config FILE]");
  const std::string dir = std::filesystem::absolute(call.get("--out")).lexically_normal();
  if (!call.get("--config").empty()) return backup_offline(call, dir);
  auto reply = ask_gateway(call, "POST", "/admin/v1/backup", bj::serialize(bj::object{{"folder", dir}}));
  while (reply.status == 200 || reply.status == 202) {
    const auto state = bj::parse(reply.body).as_object();
    if (cell(state.at("folder")) != dir) return failed("the gateway has begun another backup meanwhile");
    show_progress(state.at("pages_done").to_number<std::uint64_t>(), state.at("pages").to_number<std::uint64_t>());
    if (!state.at("running").as_bool()) {
      if (!state.at("failure").is_null() || state.at("made").is_null()) return failed(cell(state.at("failure")));
      if (call.json()) {
        std::cout << reply.body;
        return 0;
      }
      const auto& made = state.at("made").as_object();
      std::cout << dir << "  LSN " << cell(made.at("lsn")) << ", batch " << cell(made.at("batch")) << ", " << cell(made.at("bytes")) << " bytes\n";
      return 0;
    }
    ::usleep(100'000);
    reply = ask_gateway(call, "GET", "/admin/v1/backup");
  }
  return failed(error_of(reply));
}

}  // namespace trib::app
