#include "backends/agent/witness.h"

#include <algorithm>

#include "gateway/telemetry/telemetry.h"

namespace trib::agent {
namespace {

constexpr const char* key_name = "checkpoint.pub";
constexpr const char* kept_name = "checkpoints.jsonl";
constexpr const char* refused_name = "contradictions.jsonl";
constexpr std::uint64_t file_bytes_max = 64u << 20;
constexpr std::ptrdiff_t refused_lines_max = 1000;

std::string lines_of(std::span<const ledger::Checkpoint> checkpoints) {
  std::string out;
  for (const auto& one : checkpoints) out += ledger::to_json(one) + '\n';
  return out;
}

}  // namespace

Witness::Witness(Disk& disk, std::string dir, std::size_t kept) : disk_(disk), dir_(std::move(dir)), kept_(kept) { open(); }

void Witness::open() {
  std::string text, why;
  if (!read_file(disk_, path(key_name), text, 1024)) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (const auto key = ledger::read_digits(text, 32)) pinned_ = *key;  // else that of the newest one held
  }
  text.clear();
  const auto error = read_file(disk_, path(kept_name), text, file_bytes_max);
  if (error && error != std::errc::no_such_file_or_directory) why = path(kept_name) + ": " + error.message();
  if (!error) {
    if (auto all = ledger::read_checkpoints(text, bytes_, why)) all_ = std::move(*all);
  }
  if (!all_.empty() && pinned_.empty()) pinned_ = all_.back().public_key;
  if (why.empty()) return;
  bytes_ = 0;
  const auto moved = disk_.rename(path(kept_name), path("checkpoints.damaged.jsonl"));
  telemetry::log(telemetry::Level::error, "checkpoints_unreadable",
                 {{"folder", dir_}, {"why", why}, {"then", moved ? "they could not be moved aside" : "moved aside; begun anew"}});
}

std::string Witness::judge(const ledger::Checkpoint& next) const {
  const std::string n = std::to_string(next.number);
  if (!pinned_.empty() && next.public_key != pinned_) return "checkpoint " + n + " is signed by another key than the one pinned";
  if (!ledger::signature_fits(next)) return "the signature of checkpoint " + n + " does not fit";
  if (all_.empty()) return {};
  if (next.number > all_.back().number) return ledger::follows(all_.back(), next);
  if (next.number < all_.front().number) return {};  // older than what is kept
  const auto& held = all_[next.number - all_.front().number];
  if (ledger::digest(held) == ledger::digest(next)) return {};
  return "checkpoint " + n + " is another than the one held: batch " + std::to_string(next.batch_to) + " has hash " +
         to_hex(next.head) + ", held is batch " + std::to_string(held.batch_to) + " with hash " + to_hex(held.head);
}

Witness::Taken Witness::take(const tunnel::CheckpointPage& page) {
  why_.clear();
  const std::uint64_t before = held();
  std::vector<ledger::Checkpoint> fresh;
  for (const std::string& text : page.checkpoints) {
    auto next = ledger::read_checkpoint(text);
    why_ = next ? judge(*next) : "not a checkpoint as the ledger writes it";
    if (why_.empty() && next->number > held()) {
      if (pinned_.empty()) {
        if (const auto ec = pin(next->public_key)) {
          why_ = path(key_name) + ": " + ec.message();
          return Taken::not_now;
        }
      }
      fresh.push_back(*next);
      all_.push_back(std::move(*next));
    }
    if (!why_.empty()) {
      if (append(fresh)) all_.resize(all_.size() - fresh.size());
      return contradicted(next ? text : std::string());
    }
  }
  if (page.last < before) {
    why_ = "the gateway knows checkpoints up to " + std::to_string(page.last) + ", this site holds " + std::to_string(before) +
           ": the ledger went back";
    return contradicted({});
  }
  if (const auto ec = append(fresh)) {
    all_.resize(all_.size() - fresh.size());
    why_ = path(kept_name) + ": " + ec.message();
    telemetry::log(telemetry::Level::warning, "checkpoints_not_kept", {{"why", why_}});
    return Taken::not_now;
  }
  return Taken::kept;
}

Witness::Taken Witness::contradicted(const std::string& evidence) {
  telemetry::log(telemetry::Level::error, "checkpoint_contradicted",
                 {{"why", why_}, {"held", static_cast<std::int64_t>(held())}, {"folder", dir_}});
  if (evidence.empty()) return Taken::contradicted;
  std::string kept;
  const bool have = !read_file(disk_, path(refused_name), kept, file_bytes_max);
  if (!have) kept.clear();
  // The same again at each connection is one piece of evidence.
  if (kept.find(evidence) == std::string::npos && std::count(kept.begin(), kept.end(), '\n') < refused_lines_max) {
    if (const auto ec = write_file(disk_, path(refused_name), kept + evidence + '\n'))
      telemetry::log(telemetry::Level::warning, "checkpoints_not_kept", {{"why", path(refused_name) + ": " + ec.message()}});
  }
  return Taken::contradicted;
}

std::error_code Witness::pin(const std::string& key) {
  if (const auto ec = write_file(disk_, path(key_name), to_hex(key) + '\n')) return ec;
  pinned_ = key;
  telemetry::log(telemetry::Level::info, "checkpoint_key_pinned", {{"key", to_hex(key)}});
  return {};
}

std::error_code Witness::append(const std::vector<ledger::Checkpoint>& fresh) {
  if (fresh.empty()) return {};
  if (all_.size() > kept_) {  // the older half goes
    std::vector<ledger::Checkpoint> rest(all_.end() - static_cast<std::ptrdiff_t>(kept_ - kept_ / 2), all_.end());
    const std::string text = lines_of(rest);
    if (const auto ec = write_file(disk_, path(kept_name), text)) return ec;
    all_ = std::move(rest);
    bytes_ = text.size();
    return {};
  }
  const std::string text = lines_of(fresh);
  std::unique_ptr<File> file;
  const bool made = bytes_ == 0;
  auto ec = disk_.open(path(kept_name), Disk::Mode::create, file);
  if (!ec) ec = file->truncate(bytes_);
  if (!ec) ec = file->write(bytes_, text);
  if (!ec) ec = file->sync_data();
  if (!ec && made) ec = disk_.sync_dir(dir_);
  if (!ec) bytes_ += text.size();
  return ec;
}

}  // namespace trib::agent
