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
#include <memory>
#include <string>
#include <utility>

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
 * How the products of a rule are evaluated; nest_build.rules.Arithmetic has the same names and says
 * what they mean.
 */
enum class Arithmetic
{
  ieee,
  zero_products
};

//! The name of an arithmetic, as models and the compiler know it.
const char* name_of( Arithmetic arithmetic );

/**
 * Return the arithmetic of this name.
 *
 * @throws nest::BadProperty if there is none
 */
Arithmetic arithmetic_named( const std::string& name );

/**
 * Gives the machine code of an expression.
 *
 * Returns 0 and sets both addresses, or returns another number and writes why not to `message`.
 * The code must stay where it is until expression and arithmetic are given to the `RuleReleaser`.
 * Must not throw.
 */
using RuleCompiler = int ( * )( const char* expression,
  const char* arithmetic,
  void** scalar,
  void** array,
  char* message,
  std::size_t size );

//! Is told that the machine code of an expression is not used any more. Must not throw.
using RuleReleaser = void ( * )( const char* expression, const char* arithmetic );

//! How models hold a rule: it stays as long as one of them does.
using RulePtr = std::shared_ptr< const CompiledRule >;

/**
 * The rules that this module knows, by their expression and arithmetic.
 *
 * NEST unloads models at ResetKernel(), after which the same rules often return, so rules outlive
 * their models. Where more than a hundred have come together, those that no model has are
 * released.
 */
class RuleRegistry
{
public:
  static RuleRegistry& instance();

  //! Make `expression` known without a compiler; its value is the same in every arithmetic.
  void add( const std::string& expression, const CompiledRule& rule );

  //! Let `compiler` be asked for expressions that are not known, and `releaser` told which it can forget.
  void set_compiler( RuleCompiler compiler, RuleReleaser releaser );

  /**
   * Return the rule called `expression`; it is compiled if need be.
   *
   * NEST sets the defaults of a synapse model in a parallel region. This is a collective
   * operation: all threads of the region must call it with the same arguments.
   *
   * @throws nest::BadProperty (on all threads) if there is no such rule
   */
  RulePtr resolve( const std::string& expression, Arithmetic arithmetic = Arithmetic::ieee );

private:
  RuleRegistry() = default;

  using Key_ = std::pair< std::string, Arithmetic >;

  RulePtr compile_( const Key_& key );
  void release_unused_();

  static constexpr std::size_t max_compiled_ = 128; //!< so many are kept whether they are used or not

  std::map< std::string, RulePtr > built_in_;
  std::map< Key_, RulePtr > compiled_;
  RuleCompiler compiler_ = nullptr;
  RuleReleaser releaser_ = nullptr;

  // Outcome of the most recent call of resolve(), for all threads.
  RulePtr resolved_;
  std::string message_;
};

} // namespace e2l

#endif /* #ifndef RULE_REGISTRY_H */
