/*
 *  rule_registry.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef RULE_REGISTRY_H
#define RULE_REGISTRY_H

#include <cstddef>
#include <map>
#include <string>

namespace e2l
{

/**
 * A plasticity rule as machine code, as functions of its inputs in the order of the rule's
 * signature.
 */
struct CompiledRule
{
  void* scalar; //!< double f( double x_0, ..., double x_k )
  void* array;  //!< void f( int64_t n, const double* x_0, ..., const double* x_k, double* out )
};

/**
 * Gives the machine code of an expression.
 *
 * Returns 0 and sets both addresses, or returns another number and writes why not to `message`.
 * The code must stay where it is until the process ends. Must not throw.
 */
using RuleCompiler = int ( * )( const char* expression, void** scalar, void** array, char* message, std::size_t size );

/**
 * The rules that this module knows, by their expression.
 *
 * Rules stay for the life of the process: NEST unloads models at ResetKernel(), and what was
 * compiled once need not be compiled again.
 */
class RuleRegistry
{
public:
  static RuleRegistry& instance();

  //! Make `expression` known without a compiler.
  void add( const std::string& expression, const CompiledRule& rule );

  //! Let `compiler` be asked for expressions that are not known.
  void set_compiler( RuleCompiler compiler );

  /**
   * Return the rule called `expression`; it is compiled if need be.
   *
   * NEST sets the defaults of a synapse model in a parallel region. This is a collective
   * operation: all threads of the region must call it with the same expression.
   *
   * @throws nest::BadProperty (on all threads) if there is no such rule
   */
  const CompiledRule& resolve( const std::string& expression );

private:
  RuleRegistry() = default;

  const CompiledRule* compile_( const std::string& expression );

  std::map< std::string, CompiledRule > rules_;
  RuleCompiler compiler_ = nullptr;

  // Outcome of the most recent call of resolve(), for all threads.
  const CompiledRule* resolved_ = nullptr;
  std::string message_;
};

} // namespace e2l

#endif /* #ifndef RULE_REGISTRY_H */
