// What a crash left open, and how it ends.
#include <algorithm>
#include <map>

#include "gateway/metering/journal.h"

namespace trib::metering {
namespace {

class OpenSet {
 public:
  void take(Lsn lsn, const Record& record) {
    if (const auto* admit = std::get_if<Admit>(&record)) {
      // The first ADMIT of an id counts; a second one with other content must not move money.
      if (at_.try_emplace(admit->id, lsn).second) by_lsn_[lsn].admit = *admit;
    } else if (const auto* attempt = std::get_if<Attempt>(&record)) {
      if (OpenRequest* request = find(attempt->id)) {
        request->attempts.push_back(*attempt);
        Progress none;
        none.id = attempt->id;
        none.n = attempt->n;
        none.wall_ms = attempt->wall_ms;
        request->marks.push_back(none);
      }
    } else if (const auto* progress = std::get_if<Progress>(&record)) {
      if (OpenRequest* request = find(progress->id)) {
        for (Progress& mark : request->marks) {
          if (mark.n == progress->n) mark = *progress;
        }
      }
    } else if (const auto* final = std::get_if<Final>(&record)) {
      if (const auto found = at_.find(final->admit.id); found != at_.end()) {
        by_lsn_.erase(found->second);
        at_.erase(found);
      }
    }
  }

  std::vector<OpenRequest> in_order() && {
    std::vector<OpenRequest> out;
    out.reserve(by_lsn_.size());
    for (auto& [lsn, request] : by_lsn_) out.push_back(std::move(request));
    return out;
  }

 private:
  OpenRequest* find(const RequestId& id) {
    const auto found = at_.find(id);
    return found == at_.end() ? nullptr : &by_lsn_[found->second];
  }

  std::map<Lsn, OpenRequest> by_lsn_;
  std::map<RequestId, Lsn> at_;
};

}  // namespace

std::error_code open_requests(Journal& journal, std::vector<OpenRequest>& out) {
  OpenSet open;
  const auto error = journal.read(0, [&open](Lsn lsn, const Record& record) {
    open.take(lsn, record);
    return true;
  });
  out = std::move(open).in_order();
  return error;
}

std::vector<OpenRequest> open_requests(Journal& journal) {
  std::vector<OpenRequest> out;
  const auto error = open_requests(journal, out);
  TRIB_ASSERT(!error);  // half an answer would lose money
  return out;
}

Final recover(const OpenRequest& request, std::int64_t wall_ms, bool bill_broken) {
  Final final;
  final.admit = request.admit;
  final.outcome = Outcome::recovered;
  final.wall_ms = std::max(wall_ms, request.admit.wall_ms);
  final.attempts = request.attempts;
  std::uint64_t pieces = 0;
  for (std::size_t i = 0; i < request.attempts.size(); ++i) {
    const Progress& mark = request.marks[i];
    final.wall_ms = std::max({final.wall_ms, request.attempts[i].wall_ms, mark.wall_ms});
    AttemptResult result;
    result.n = request.attempts[i].n;
    result.fault = name(FaultKind::internal);
    result.side = name(Side::gateway);
    result.pieces = mark.pieces;
    result.delivered = bill_broken ? mark.pieces : 0;
    result.bytes = mark.bytes;
    pieces += mark.pieces;
    final.bytes_delivered += mark.bytes;
    final.results.push_back(std::move(result));
  }
  if (pieces == 0) return final;  // void: nothing of it reached the customer
  final.status = 200;
  if (!bill_broken) return final;
  final.counts.output = pieces;
  final.source = CountSource::estimate;
  return final;
}

}  // namespace trib::metering
