#include "server/rpc/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "fmt/format.h"
#include "server/rpc/read_file.h"
#include "spdlog/spdlog.h"

namespace sidelb::rpc {
namespace {

constexpr size_t kMaxBytes = 1 << 20;  // a bundle of CAs has a few hundred KiB

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

Bio Open(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A daemon has nobody to ask for a passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status Unusable(const std::string& path, std::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError(fmt::format("{}: {}", path, why));
}

// The certificates of a text; the first is the one that counts.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(const std::string& text,
                                                          const std::string& path) {
  const Bio bio = Open(text);
  std::vector<Certificate> all;
  while (true) {
    Certificate one(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
    if (one == nullptr) break;
    all.push_back(std::move(one));
  }
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (all.empty()) return Unusable(path, "has no certificate in it (PEM, -----BEGIN CERTIFICATE)");
  if (!is_end) return Unusable(path, fmt::format("certificate {} is broken", all.size() + 1));
  return all;
}

void AddStamp(const std::string& path, std::string* stamp) {
  if (path.empty()) return;
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) {
    *stamp += fmt::format("{};", errno);
    return;
  }
  *stamp += fmt::format("{}.{}.{}.{}.{}.{}.{};", found.st_dev, found.st_ino, found.st_size,
                        found.st_mtim.tv_sec, found.st_mtim.tv_nsec, found.st_ctim.tv_sec,
                        found.st_ctim.tv_nsec);
}

}  // namespace

absl::Status CheckTlsMaterial(const TlsMaterial& material, const TlsPaths& paths) {
  const auto chain = ReadCertificates(material.certificate, paths.certificate);
  if (!chain.ok()) return chain.status();
  const Bio bio = Open(material.key);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return Unusable(paths.key, "has no private key in it that can be read (PEM, no passphrase)");
  }
  if (X509_check_private_key(chain->front().get(), key.get()) != 1) {
    return Unusable(paths.key,
                    fmt::format("is not the key of the certificate in {}", paths.certificate));
  }
  if (!paths.client_ca.empty()) {
    const auto authorities = ReadCertificates(material.client_ca, paths.client_ca);
    if (!authorities.ok()) return authorities.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Load(const TlsPaths& paths) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(paths));
  files->stamp_ = files->Stamp();
  auto material = files->Read();
  if (!material.ok()) return material.status();
  files->current_ = *std::move(material);
  return files;
}

std::string TlsFiles::Stamp() const {
  std::string stamp;
  for (const std::string& path : {paths_.certificate, paths_.key, paths_.client_ca}) {
    AddStamp(path, &stamp);
  }
  return stamp;
}

absl::StatusOr<std::shared_ptr<const TlsMaterial>> TlsFiles::Read() const {
  auto material = std::make_shared<TlsMaterial>();
  for (auto& [path, into] : {std::pair{&paths_.certificate, &material->certificate},
                             std::pair{&paths_.key, &material->key},
                             std::pair{&paths_.client_ca, &material->client_ca}}) {
    if (path->empty()) continue;
    auto text = ReadFile(*path, kMaxBytes);
    if (!text.ok()) return text.status();
    *into = *std::move(text);
  }
  if (absl::Status status = CheckTlsMaterial(*material, paths_); !status.ok()) return status;
  return material;
}

std::shared_ptr<const TlsMaterial> TlsFiles::Current() {
  const std::lock_guard lock(mutex_);
  // Before the reading: what is written during it shows at the next look.
  std::string stamp = Stamp();
  if (stamp == stamp_) return current_;
  stamp_ = std::move(stamp);
  auto material = Read();
  if (material.ok()) {
    current_ = *std::move(material);
    spdlog::info("TLS of the control endpoint: {} was read anew", paths_.certificate);
  } else {
    spdlog::error("TLS of the control endpoint: {}; the files of before stay in use",
                  std::string(material.status().message()));
  }
  return current_;
}

}  // namespace sidelb::rpc
