#include "dataplane/health/hysteresis.h"

namespace sidelb {

bool Hysteresis::Record(bool good, uint32_t rise, uint32_t fall) {
  good_ = good ? good_ + 1 : 0;
  bad_ = good ? 0 : bad_ + 1;
  Health next = health_;
  if (health_ == Health::kUnknown) {
    next = good ? Health::kHealthy : Health::kUnhealthy;
  } else if (health_ == Health::kUnhealthy && good_ >= rise) {
    next = Health::kHealthy;
  } else if (health_ == Health::kHealthy && bad_ >= fall) {
    next = Health::kUnhealthy;
  }
  if (next == health_) return false;
  if (health_ != Health::kUnknown) ++transitions_;
  health_ = next;
  return true;
}

}  // namespace sidelb
