// The list of an export's files with their sums, signed.
#pragma once
#include <string>
#include <vector>

#include "gateway/settlement/settlement.h"

namespace trib::settlement {

struct ManifestHead {
  std::string period, party;  // party empty: everything
  std::uint64_t batch_to = 0;  // the period's last batch so far, and its seal
  std::string seal_hash;
  bool provisional = false;  // the month is not closed: its figures may still move
};

ExportFile make_manifest(const ManifestHead& head, const std::vector<ExportFile>& files, const SigningKey& key);

}  // namespace trib::settlement
