// What sysfs says is on the PCI bus: the gate before every vendor library.
#pragma once
#include <string>
#include <vector>

#include "backends/devices/devices.h"

namespace trib::devices {

// Cards of class 03 (display) and 12 (processing accelerator), by address. A tree without them, or a
// host without PCI, is an empty list. A management controller's VGA shares the vendor id of its maker's
// accelerators (Huawei iBMC): class 0300 of vendor 19e5 is left out.
std::vector<PciCard> scan_pci(const std::string& sysfs);

// "nvidia", "amd", ... of a PCI vendor id; empty: not one we know.
std::string_view vendor_of(std::uint32_t pci_vendor);

}  // namespace trib::devices
