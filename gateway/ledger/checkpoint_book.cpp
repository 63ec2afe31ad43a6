#include "gateway/ledger/checkpoint_book.h"

#include <algorithm>

#include "gateway/ledger/chain.h"
#include "gateway/ledger/store.h"
#include "gateway/ledger/tables.h"

namespace trib::ledger {
namespace {

constexpr std::uint64_t file_bytes_max = 1u << 30;
constexpr std::uint64_t batches_max = 1u << 18;  // of one checkpoint: 8 MB of hashes, 18 siblings

}  // namespace

std::optional<std::vector<Checkpoint>> read_checkpoints(std::string_view text, std::uint64_t& whole, std::string& why) {
  std::vector<Checkpoint> out;
  whole = 0;
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    auto one = read_checkpoint(text.substr(0, end));
    const std::string line = "line " + std::to_string(out.size() + 1) + ": ";
    if (!one) why = line + "not a checkpoint as it was written";
    else if (!signature_fits(*one)) why = line + "the signature of checkpoint " + std::to_string(one->number) + " does not fit";
    else if (!out.empty()) why = follows(out.back(), *one);
    if (!why.empty()) return std::nullopt;
    out.push_back(std::move(*one));
    whole += end + 1;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::unique_ptr<CheckpointBook> CheckpointBook::open(Disk& disk, std::string path, const SigningKey& key, std::string& why) {
  std::unique_ptr<CheckpointBook> out(new CheckpointBook(disk, std::move(path), key));
  return out->read(why) ? std::move(out) : nullptr;
}

bool CheckpointBook::read(std::string& why) {
  std::string text;
  if (const auto ec = read_file(disk_, path_, text, file_bytes_max)) {
    if (ec == std::errc::no_such_file_or_directory) return true;
    why = path_ + ": " + ec.message();
    return false;
  }
  auto all = read_checkpoints(text, bytes_, why);
  if (all && !all->empty() && all->front().number != 1) why = "it does not begin with checkpoint 1";
  if (!why.empty()) {
    why = path_ + ": " + why;
    return false;
  }
  all_ = std::move(*all);
  return true;
}

std::optional<Checkpoint> CheckpointBook::make(Ledger& ledger, std::int64_t wall_ms, std::string& why) {
  const std::lock_guard one_at_a_time(make_mutex_);
  const std::uint64_t sealed = ledger.await_sealed(why);
  if (!why.empty()) return std::nullopt;
  const auto held = last();
  if (held && held->batch_to >= sealed) return held;
  if (sealed == 0) {
    why = "the ledger has no batch yet";
    return std::nullopt;
  }
  const auto reader = ledger.reader(why);
  if (reader == nullptr) return std::nullopt;
  while (true) {
    if (!sign_next(*reader, sealed, wall_ms, why)) return std::nullopt;
    auto now = last();
    if (now->batch_to == sealed) return now;
  }
}

bool CheckpointBook::sign_next(Reader& reader, std::uint64_t batch_to, std::int64_t wall_ms, std::string& why) {
  const auto held = last();
  Checkpoint next;
  next.number = 1;
  next.batch_from = 1;
  next.made_ms = wall_ms;
  if (held) {
    next.shard = held->shard;
    next.number = held->number + 1;
    next.batch_from = held->batch_to + 1;
    next.prev = digest(*held);
    next.made_ms = std::max(wall_ms, held->made_ms);
  }
  next.batch_to = std::min(batch_to, next.batch_from + batches_max - 1);
  std::vector<Sha256> hashes;
  BatchRow end;
  const bool read = reader.batches(next.shard, next.batch_from, next.batch_to, [&](const BatchRow& row) {
    // What is signed must go on from what was signed.
    const bool joins = hashes.empty() ? !held || row.prev_hash == held->head : row.prev_hash == hashes.back();
    if (!joins || row.id != next.batch_from + hashes.size() || chain_hash(row) != row.hash) return false;
    hashes.push_back(row.hash);
    end = row;
    return true;
  });
  if (!read || hashes.size() != next.batch_to - next.batch_from + 1) {
    why = read ? "batch " + std::to_string(next.batch_from + hashes.size()) +
                     " does not go on from what was signed before; `tributary audit verify` tells more"
               : reader.error();
    return false;
  }
  next.root = merkle_root(hashes);
  next.head = end.hash;
  next.to_lsn = end.to_lsn;
  next.public_key = key_.public_key();
  next.signature = key_.sign(signed_bytes(next));
  return keep(next, why);
}

bool CheckpointBook::keep(const Checkpoint& checkpoint, std::string& why) {
  const std::string line = to_json(checkpoint) + '\n';
  std::unique_ptr<File> file;
  const bool made = bytes_ == 0;
  std::error_code ec = disk_.open(path_, Disk::Mode::create, file);
  if (!ec) ec = file->truncate(bytes_);  // what a crash or an error has left behind
  if (!ec) ec = file->write(bytes_, line);
  if (!ec) ec = file->sync_data();
  if (const auto slash = path_.rfind('/'); !ec && made) ec = disk_.sync_dir(slash == std::string::npos ? "." : path_.substr(0, slash));
  if (ec) {
    why = path_ + ": " + ec.message();
    return false;
  }
  bytes_ += line.size();
  const std::lock_guard lock(mutex_);
  all_.push_back(checkpoint);
  return true;
}

std::string CheckpointBook::contradicts(Ledger& ledger) const {
  const auto held = last();
  if (!held) return {};
  const std::string what = "checkpoint " + std::to_string(held->number) + " in " + path_;
  std::string why;
  const auto reader = ledger.reader(why);
  if (reader == nullptr) return why;
  std::string out = what + " was signed over batch " + std::to_string(held->batch_to) +
                    ", which the ledger does not have: this is an older copy than the one that sites were told of";
  reader->batches(held->shard, held->batch_to, held->batch_to, [&](const BatchRow& row) {
    out = row.hash == held->head && row.to_lsn == held->to_lsn
              ? std::string()
              : what + " was signed over another batch " + std::to_string(held->batch_to) + " than the ledger's";
    return false;
  });
  return out;
}

std::optional<Checkpoint> CheckpointBook::last() const {
  const std::lock_guard lock(mutex_);
  return all_.empty() ? std::nullopt : std::optional(all_.back());
}

std::optional<Checkpoint> CheckpointBook::covering(std::uint64_t batch) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::lower_bound(all_.begin(), all_.end(), batch,
                                      [](const Checkpoint& one, std::uint64_t b) { return one.batch_to < b; });
  return found == all_.end() || batch == 0 ? std::nullopt : std::optional(*found);
}

std::vector<Checkpoint> CheckpointBook::from(std::uint64_t number, std::size_t count_max) const {
  const std::lock_guard lock(mutex_);
  const std::size_t at = number == 0 ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(number - 1, all_.size()));
  const std::size_t count = std::min(count_max, all_.size() - at);
  const auto first = all_.begin() + static_cast<std::ptrdiff_t>(at);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

bool CheckpointBook::key_changed() const {
  const auto held = last();
  return held && held->public_key != key_.public_key();
}

}  // namespace trib::ledger
