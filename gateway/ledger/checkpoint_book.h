// The checkpoints that this gateway has signed, in a file of their own beside the store: a store that was
// put back from a copy and replayed must meet them again. One line of JSON each, only ever appended, on the
// disk before anybody is told. Kept in memory too, some 300 bytes each: 3 MB a year at one an hour.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/checkpoint.h"

namespace trib::ledger {

class Ledger;
class Reader;

class CheckpointBook {
 public:
  // Reads the file and checks every line: signature, chain. A last line without its end was never told to
  // anybody and is cut. Null with the reason otherwise. Disk and key must outlive the book.
  static std::unique_ptr<CheckpointBook> open(Disk& disk, std::string path, const SigningKey& key, std::string& why);

  // Any thread. Signs the batches whose SEALs are durable and that no checkpoint covers; waits for the last
  // SEAL to become durable. The newest afterwards, the same as before when nothing is new; none with the
  // reason when there is none, or it could not be made durable. Blocks on the store and the disk.
  std::optional<Checkpoint> make(Ledger& ledger, std::int64_t wall_ms, std::string& why);

  // Empty, or why the ledger is not the one that the last checkpoint was signed over. Ask once all is posted.
  std::string contradicts(Ledger& ledger) const;

  // Any thread, from memory.
  std::optional<Checkpoint> last() const;
  std::optional<Checkpoint> covering(std::uint64_t batch) const;
  std::vector<Checkpoint> from(std::uint64_t number, std::size_t count_max) const;
  bool key_changed() const;  // the last one was signed by another key than the one in use

 private:
  CheckpointBook(Disk& disk, std::string path, const SigningKey& key) : disk_(disk), path_(std::move(path)), key_(key) {}
  bool read(std::string& why);
  bool sign_next(Reader& reader, std::uint64_t batch_to, std::int64_t wall_ms, std::string& why);
  bool keep(const Checkpoint& checkpoint, std::string& why);

  Disk& disk_;
  const std::string path_;
  const SigningKey& key_;
  std::mutex make_mutex_;  // one at a time
  std::uint64_t bytes_ = 0;  // of the file's whole lines
  mutable std::mutex mutex_;  // all_
  std::vector<Checkpoint> all_;  // by number
};

// All checkpoints of a file of such lines, the last being cut short or not; none with the reason. `whole`
// becomes the bytes of the whole lines. The first may have any number: a site keeps the newest ones alone.
std::optional<std::vector<Checkpoint>> read_checkpoints(std::string_view text, std::uint64_t& whole, std::string& why);

}  // namespace trib::ledger
