/*
 *  rule_registry.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "rule_registry.h"

#include "nest_headers.h"

#include <array>

#include <omp.h>

const char*
e2l::name_of( const Arithmetic arithmetic )
{
  return arithmetic == Arithmetic::ieee ? "ieee" : "zero_products";
}

e2l::Arithmetic
e2l::arithmetic_named( const std::string& name )
{
  for ( const Arithmetic arithmetic : { Arithmetic::ieee, Arithmetic::zero_products } )
  {
    if ( name == name_of( arithmetic ) )
    {
      return arithmetic;
    }
  }
  throw nest::BadProperty( "arithmetic must be \"ieee\" or \"zero_products\", not \"" + name + "\"." );
}

e2l::RuleRegistry&
e2l::RuleRegistry::instance()
{
  static RuleRegistry registry;
  return registry;
}

void
e2l::RuleRegistry::add( const std::string& expression, const CompiledRule& rule )
{
  built_in_.emplace( expression, std::make_shared< const CompiledRule >( rule ) );
}

void
e2l::RuleRegistry::set_compiler( const RuleCompiler compiler, const RuleReleaser releaser )
{
  compiler_ = compiler;
  releaser_ = releaser;
}

e2l::RulePtr
e2l::RuleRegistry::resolve( const std::string& expression, const Arithmetic arithmetic )
{
  // The compiler is Python code and needs the interpreter's lock, which the thread that entered
  // the parallel region holds: any other thread would wait for it for ever.
  if ( omp_get_thread_num() == 0 )
  {
    resolved_ = compile_( { expression, arithmetic } );
  }
#pragma omp barrier
  const RulePtr rule = resolved_;
  const std::string message = message_;
  // Nobody may start the next call before all have read the outcome of this one.
#pragma omp barrier

  if ( not rule )
  {
    throw nest::BadProperty( message );
  }
  return rule;
}

e2l::RulePtr
e2l::RuleRegistry::compile_( const Key_& key )
{
  const auto& [ expression, arithmetic ] = key;
  const auto built_in = built_in_.find( expression );
  if ( built_in != built_in_.end() )
  {
    return built_in->second;
  }
  const auto known = compiled_.find( key );
  if ( known != compiled_.end() )
  {
    return known->second;
  }
  if ( not compiler_ )
  {
    message_ = "The expression \"" + expression
      + "\" has not been compiled. Install the module by nest.Install(nest_build.module_path(...)) "
        "after \"import nest\", so that expressions are compiled when they are set.";
    return nullptr;
  }
  if ( compiled_.size() >= max_compiled_ )
  {
    release_unused_();
  }

  CompiledRule rule { nullptr, nullptr };
  std::array< char, 1024 > message {};
  const int outcome =
    compiler_( expression.c_str(), name_of( arithmetic ), &rule.scalar, &rule.array, message.data(), message.size() );
  if ( outcome != 0 )
  {
    message_ = "The expression \"" + expression + "\" cannot be used: " + message.data();
    return nullptr;
  }
  return compiled_.emplace( key, std::make_shared< const CompiledRule >( rule ) ).first->second;
}

void
e2l::RuleRegistry::release_unused_()
{
  resolved_.reset();
  for ( auto rule = compiled_.begin(); rule != compiled_.end(); )
  {
    if ( rule->second.use_count() > 1 )
    {
      ++rule;
      continue;
    }
    const auto& [ expression, arithmetic ] = rule->first;
    releaser_( expression.c_str(), name_of( arithmetic ) );
    rule = compiled_.erase( rule );
  }
}
