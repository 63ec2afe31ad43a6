// Ed25519: the key that signs what leaves for finance and partners (made once, kept in the data
// folder), and the check that anyone can make. Thread-safe: a key never changes.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/disk.h"

namespace trib {

class SigningKey {
 public:
  // Reads the PEM file, or makes a key and writes it there (readable by its owner alone).
  static std::optional<SigningKey> open(Disk& disk, const std::string& path, std::string& why);
  std::string sign(std::string_view message) const;  // 64 bytes
  const std::string& public_key() const { return public_; }  // 32 bytes

 private:
  std::string private_;  // 32 bytes
  std::string public_;
};

bool signature_fits(std::string_view public_key, std::string_view message, std::string_view signature);

}  // namespace trib
