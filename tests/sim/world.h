// A whole federation from one seed: a gateway, four sites (two dialled, two that dial in), sixty
// customers of six tenants, a disk, a network, and what befalls them. One thread, virtual time: a seed
// always gives the same run.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/agent_site.h"
#include "tests/sim/customer.h"
#include "tests/sim/engine.h"
#include "tests/sim/gateway.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/support/disk_vfs.h"
#include "tests/support/mem_disk.h"

namespace trib::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  bool verbose = false;
  bool calm = false;  // nothing befalls anyone: for looking at the world itself
  Sabotage sabotage = Sabotage::none;
};

struct WorldFigures {
  OracleFigures oracle;
  NetFigures net;
  CustomerFigures customers;
  EngineFigures engines;
  std::uint64_t kills = 0, power_cuts = 0, drains = 0, disk_faults = 0, journal_deaths = 0, engine_deaths = 0, agent_deaths = 0, topups = 0,
                clock_steps = 0, prices = 0, steps = 0;
  std::int64_t virtual_ms = 0;
  std::uint64_t digest = 0;  // of everything that arrived anywhere, and when
};

struct Failure {
  std::uint64_t step = 0;
  std::int64_t at_ms = 0;
  std::string rule, what;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  // Runs until all is quiet and looks at everything. False: `failure` says what was not true.
  bool run();
  const Failure& failure() const { return failure_; }
  WorldFigures figures() const;

 private:
  enum class Disaster : std::uint8_t { kill, power, power_soon, drain, disk_error, disk_full, engine, agent, agent_silent, agent_drain, clock, price, close_site, topup };
  void build();
  void plan();
  void befall(Disaster what);
  void violated(const std::string& rule, const std::string& what);
  std::int64_t some(std::int64_t ns) { return static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(ns))); }
  void start_gateway();
  void end_gateway(bool power, bool silent);
  void watch();
  bool over() const;
  std::string unrest() const;
  void final_look();

  const WorldOptions options_;
  SeededRng rng_;
  Timeline timeline_;
  test::MemDisk disk_;
  std::shared_ptr<config::ConfigSnapshot> config_;
  std::unique_ptr<test::DiskVfs> vfs_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<Net> net_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::vector<std::unique_ptr<AgentSite>> agents_;
  CustomerFigures customer_figures_;
  std::vector<std::unique_ptr<Customer>> customers_;
  std::unique_ptr<Gateway> gateway_;
  GatewayTerms terms_;
  metering::Lsn promised_ = 0, durable_ = 0;  // what the journals so far have promised to keep
  bool draining_ = false, fault_set_ = false, end_asked_ = false;
  std::uint64_t disasters_left_ = 0;
  Failure failure_;
  WorldFigures counts_;
};

std::string replay_command(std::uint64_t seed);

}  // namespace trib::sim
