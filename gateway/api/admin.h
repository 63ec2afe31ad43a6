// The administrative doors, for operators and finance. Everything here runs on the administrative
// thread: it may read the store, sign and wait for the journal.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "gateway/api/doors.h"
#include "gateway/fleet/fleet.h"
#include "gateway/ledger/ledger.h"
#include "gateway/settlement/settlement.h"

namespace trib::api {

// A backup that was asked for: what the door shows.
struct BackupState {
  bool running = false;
  std::string dir;  // empty: none was asked for yet
  std::uint64_t pages_done = 0, pages = 0;
  std::optional<ledger::Backup> made;
  std::string why;  // it failed
};
class BackupDoor {
 public:
  virtual std::string begin(const std::string& dir) = 0;  // empty: begun; or why not
  virtual BackupState state() const = 0;

 protected:
  ~BackupDoor() = default;
};

struct AdminParts {
  Clock& clock;
  ledger::Ledger& ledger;
  metering::Journal& journal;
  fleet::Fleet& fleet;
  fleet::SiteRegistry& registry;
  fleet::Enrolment& enrolment;
  const settlement::SigningKey& signing;
  ledger::CheckpointBook& checkpoints;
  ledger::ReceiptIntake& receipts;
  std::function<void()> checkpoints_grew;  // tells the sites
  BackupDoor& backup;
  std::function<std::shared_ptr<const Live>()> live;
  std::function<std::vector<std::string>()> site_hosts;          // host:port where agents reach the gateway
  std::function<void(const std::string& site)> close_tunnels;    // after a suspension or revocation
};

class Admin final : public AdminDoors {
 public:
  explicit Admin(AdminParts parts) : parts_(std::move(parts)) {}
  Answer admin(const AdminRequest& request) override;
  std::optional<Answer> at_once(const AdminRequest& request) override;
  Answer enrol(const AdminRequest& request) override;

 private:
  Answer answer(const AdminRequest& request);
  Answer request_life(const std::string& id);
  Answer sites();
  Answer site_action(const std::string& site, const std::string& action, const AdminRequest& request);
  Answer devices();
  Answer offers();
  Answer tenants();  // admin_tenants.cpp
  Answer tenant(const std::string& id);
  Answer topup(const std::string& tenant, const AdminRequest& request);
  Answer prices();
  Answer contracts();
  Answer publish_price(const AdminRequest& request);
  Answer publish_contract(const AdminRequest& request);
  Answer contract_risk();
  Answer indexes();
  Answer set_index(const AdminRequest& request);
  Answer trial_balance();
  Answer balances();
  Answer periods();
  Answer period(const std::string& text, bool close);
  settlement::Progress progress_of(const std::string& period);
  Answer explain(const AdminRequest& request);
  Answer reports(const std::string& name, const AdminRequest& request);  // admin_reports.cpp
  std::string read_question(const AdminRequest& request, settlement::ReportQuestion& question);
  Answer receipts_key(const std::string& site, const AdminRequest& request);
  Answer statements(const std::string& query);
  Answer statement(const std::string& period, const std::string& party, const std::string& query);
  Answer statement_page(const std::string& no);
  void moved(const settlement::Entry& entry);  // admin_ledger.cpp, and those up to invoice()
  struct Taken {
    std::string tenant;
    money::Amount amount;
    std::string command;  // that is there when it was posted before
  };
  std::optional<Taken> taken_of(const settlement::Order& order);
  std::optional<money::Amount> set_aside_free(const settlement::Order& order, std::optional<tenancy::Hold>& aside);
  Answer order(const std::string& what, const AdminRequest& request);
  Answer orders();
  Answer documents(const std::string& query);
  Answer transfers(const std::string& query);
  Answer make_invoices(const std::string& period);
  Answer invoices(const std::string& query);
  Answer invoice(const std::string& period, const std::string& tenant);
  Answer export_period(const std::string& period, const std::string& query);
  Answer audit(const std::vector<std::string>& parts, const AdminRequest& request);  // admin_audit.cpp
  Answer audit_verify();
  Answer audit_proof(const std::string& subject);
  Answer audit_checkpoints(const std::string& query);
  Answer audit_sign();
  Answer backup(const AdminRequest& request);
  AdminParts parts_;
  struct Progressing {  // of a close that is under way
    std::string period, what;  // empty: none
    std::uint64_t done = 0;
  };
  std::mutex progress_mutex_;
  Progressing progress_;
};

}  // namespace trib::api
